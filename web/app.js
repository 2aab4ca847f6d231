/*
 * The status page: jobs, nodes and one job's loss, live. No library and no build step.
 *
 * The token comes from the address's fragment (#token=…, which browsers send to nobody) or from the
 * form, and stays in sessionStorage. /v1/stream is read with fetch as lines of JSON, because an
 * EventSource can send no Authorization header; each line says that something changed, and what is
 * shown is then asked for. Everything is written with textContent.
 */
"use strict";

const STORAGE_KEY = "reprise-token";
const REFRESH_MS = 400; /* at most so often, however fast the stream is */
const IDLE_REFRESH_MS = 2000; /* progress of running jobs between events */
const RETRY_MS = 1500;
const SVG = "http://www.w3.org/2000/svg";
const LIVE_STATES = ["queued", "starting", "running", "recovering", "cancelling"];

const $ = (id) => document.getElementById(id);
let token = "";
let chosen = ""; /* id of the job whose details are shown */
let refreshing = false;
let refreshWanted = false;
let generation = 0; /* rises with each sign-in, sign-out and choice: older streams end */
let abort = new AbortController(); /* of the stream of this generation */

/* ---- talking to the controller ---- */

class Denied extends Error {}

async function api(path, options = {}) {
  const headers = { Authorization: `Bearer ${token}`, ...options.headers };
  const answer = await fetch(path, { ...options, headers, cache: "no-store" });
  if (answer.status === 401 || answer.status === 403) {
    throw new Denied("the controller does not accept this token");
  }
  if (!answer.ok) {
    throw new Error(`${path}: ${answer.status}`);
  }
  return answer;
}

const apiJson = async (path) => (await api(path)).json();

async function* lines(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) {
      return;
    }
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    yield* parts.filter((part) => part.trim() !== "");
  }
}

/* Reads one stream to its end. */
async function readStream(mine, signal) {
  const topics = chosen ? `job:${chosen},queue,nodes` : "queue,nodes";
  const answer = await api(`/v1/stream?topics=${encodeURIComponent(topics)}`, {
    headers: { Accept: "application/x-ndjson" }, signal,
  });
  say("live", "live");
  wantRefresh();
  for await (const line of lines(answer)) {
    if (mine === generation && line) {
      wantRefresh();
    }
  }
}

async function followStream() {
  abort.abort();
  abort = new AbortController();
  const mine = ++generation;
  while (mine === generation) {
    try {
      await readStream(mine, abort.signal);
    } catch (error) {
      if (mine !== generation) {
        return;
      }
      if (error instanceof Denied) {
        signOut(error.message);
        return;
      }
      say("broken", "the controller does not answer; trying again");
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/* ---- refreshing: one at a time, and one more if something came meanwhile ---- */

async function wantRefresh() {
  refreshWanted = true;
  if (refreshing) {
    return;
  }
  refreshing = true;
  while (refreshWanted && token) {
    refreshWanted = false;
    try {
      await refresh();
    } catch (error) {
      if (error instanceof Denied) {
        signOut(error.message);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, REFRESH_MS));
  }
  refreshing = false;
}

async function refresh() {
  const [jobs, nodes] = await Promise.all([apiJson("/v1/jobs?limit=50"), apiJson("/v1/nodes?limit=200")]);
  if (!chosen && jobs.items.length > 0) {
    choose((jobs.items.find((job) => LIVE_STATES.includes(job.state)) || jobs.items[0]).id);
  }
  drawJobs(jobs.items);
  drawNodes(nodes.items, jobs.items);
  const job = jobs.items.find((item) => item.id === chosen);
  $("job").hidden = !job;
  if (job) {
    const path = `/v1/jobs/${encodeURIComponent(job.id)}`;
    const [attempts, metrics] = await Promise.all([
      apiJson(`${path}/attempts?limit=100`), apiJson(`${path}/metrics?names=loss&points=400`)]);
    drawJob(job, attempts.items, metrics.loss, nodes.items);
  }
}

/* ---- words and numbers ---- */

function span(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) {
    return "";
  }
  if (ms < 1000) {
    return `${Math.round(ms)} ms`;
  }
  if (ms < 60000) {
    return `${(ms / 1000).toFixed(1)} s`;
  }
  const minutes = Math.floor(ms / 60000);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function between(object, from, to) {
  return object && object[from] && object[to] ? Date.parse(object[to]) - Date.parse(object[from]) : null;
}

const fixed = (value, digits) => (typeof value === "number" ? value.toFixed(digits) : "");
const grouped = (value) => (typeof value === "number" ? Math.round(value).toLocaleString() : "");

/* ---- drawing ---- */

function cell(row, text, kind) {
  const made = row.insertCell();
  made.textContent = text;
  if (kind) {
    made.className = kind;
  }
  return made;
}

function stateCell(row, state) {
  return cell(row, state, `state-${state}`);
}

function progressCell(row, progress) {
  const made = row.insertCell();
  if (!progress || !progress.of) {
    return;
  }
  const bar = document.createElement("progress");
  bar.max = progress.of;
  bar.value = progress.step;
  made.append(bar, `${progress.step.toLocaleString()} / ${progress.of.toLocaleString()}`);
}

function choose(id) {
  if (id !== chosen) {
    chosen = id;
    followStream();
  }
}

function drawJobs(jobs) {
  const focused = document.activeElement && document.activeElement.dataset.job;
  const rows = jobs.map((job) => {
    const row = document.createElement("tr");
    const name = document.createElement("button");
    const metrics = job.metrics || {};
    row.className = job.id === chosen ? "chosen" : "";
    row.addEventListener("click", () => choose(job.id));
    name.type = "button";
    name.className = "name";
    name.textContent = job.name;
    name.dataset.job = job.id;
    row.insertCell().append(name);
    stateCell(row, job.state);
    cell(row, job.attempt || "", "number");
    progressCell(row, job.progress);
    cell(row, fixed(metrics.loss, 4), "number");
    cell(row, fixed(metrics.eval_accuracy, 4), "number");
    cell(row, grouped(metrics.samples_per_second), "number");
    const until = job.ended_at ? Date.parse(job.ended_at) : Date.now();
    cell(row, job.started_at ? span(until - Date.parse(job.started_at)) : "", "number");
    return row;
  });
  $("jobs").replaceChildren(...rows);
  $("no-jobs").hidden = jobs.length > 0;
  if (focused) {
    const again = rows.map((row) => row.querySelector("button")).find((button) => button.dataset.job === focused);
    if (again) {
      again.focus();
    }
  }
}

function drawNodes(nodes, jobs) {
  const names = new Map(jobs.map((job) => [job.id, job.name]));
  const rows = nodes.map((node) => {
    const row = document.createElement("tr");
    const slots = (node.slots || []).map((slot) =>
      slot.job ? `${slot.slot}: ${names.get(slot.job) || slot.job} rank ${slot.rank}` : `${slot.slot}: free`);
    cell(row, node.hostname);
    stateCell(row, node.state);
    cell(row, slots.join(", "));
    cell(row, node.state === "lost" ? "" : span(node.lease_remaining_ms), "number");
    cell(row, Object.entries(node.labels || {}).map(([key, value]) => `${key}=${value}`).join(", "));
    cell(row, node.id, "quiet");
    return row;
  });
  $("nodes").replaceChildren(...rows);
  $("no-nodes").hidden = nodes.length > 0;
}

function nodeName(nodes, id) {
  const node = nodes.find((item) => item.id === id);
  const labels = node ? Object.values(node.labels || {}) : [];
  return node ? [node.hostname, ...labels].join(" ") : id;
}

function drawAttempt(attempt, nodes) {
  const row = document.createElement("tr");
  const incident = attempt.incident;
  cell(row, attempt.attempt, "number");
  stateCell(row, attempt.state);
  cell(row, attempt.reason && attempt.reason !== "none" ? attempt.reason : "");
  cell(row, attempt.resume_step, "number");
  cell(row, attempt.attempt > 1 ? attempt.lost_steps : "", "number");
  cell(row, span(between(incident, "fault_at", "detected_at")), "number");
  cell(row, span(between(incident, "detected_at", "placed_at")), "number");
  cell(row, span(between(incident, "placed_at", "first_step_at")), "number");
  cell(row, (attempt.ranks || []).map((rank) => `${rank.rank}: ${nodeName(nodes, rank.node)}`).join(", "));
  return row;
}

function drawJob(job, attempts, loss, nodes) {
  $("job-title").textContent = `${job.name} — ${job.id}`;
  const parts = [job.state, job.reason && job.reason !== "none" ? job.reason : ""];
  if (job.model) {
    parts.push(`model ${job.model.sha256}`);
  }
  $("job-line").textContent = parts.filter(Boolean).join(" · ");
  $("attempts").replaceChildren(...attempts.map((attempt) => drawAttempt(attempt, nodes)));
  drawChart(loss, attempts, job.progress ? job.progress.of : 0);
}

/* ---- the chart: loss by step, a dashed line where an attempt resumed ---- */

const CHART = { left: 48, right: 988, top: 14, bottom: 214 };

function svg(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, value);
  }
  if (text !== undefined) {
    made.textContent = text;
  }
  return made;
}

function scale(low, high, from, to) {
  const width = high > low ? high - low : 1;
  return (value) => from + ((value - low) / width) * (to - from);
}

function drawGrid(chart, y, low, high) {
  for (let i = 0; i <= 4; i++) {
    const value = low + ((high - low) * i) / 4;
    chart.append(
      svg("line", { class: "grid", x1: CHART.left, x2: CHART.right, y1: y(value), y2: y(value) }),
      svg("text", { x: CHART.left - 6, y: y(value) + 4, "text-anchor": "end" }, value.toPrecision(2)));
  }
}

function drawChart(loss, attempts, of) {
  const chart = $("chart");
  chart.replaceChildren();
  if (!loss || loss.step.length < 2) {
    $("chart-line").textContent = "no loss reported yet";
    return;
  }
  const lastStep = loss.step[loss.step.length - 1];
  const high = Math.max(...loss.value);
  const low = Math.min(0, ...loss.value);
  const x = scale(0, Math.max(of || 0, lastStep), CHART.left, CHART.right);
  const y = scale(low, high, CHART.bottom, CHART.top);
  drawGrid(chart, y, low, high);
  for (const attempt of attempts.filter((item) => item.attempt > 1)) {
    const at = x(attempt.resume_step);
    chart.append(
      svg("line", { class: "resume", x1: at, x2: at, y1: CHART.top, y2: CHART.bottom }),
      svg("text", { x: at + 3, y: CHART.top + 10 }, `attempt ${attempt.attempt}`));
  }
  const points = loss.step.map((step, i) => `${x(step).toFixed(1)},${y(loss.value[i]).toFixed(1)}`);
  chart.append(
    svg("polyline", { class: "line", points: points.join(" ") }),
    svg("text", { x: CHART.left, y: 232 }, "step 0"),
    svg("text", { x: CHART.right, y: 232, "text-anchor": "end" }, `${Math.max(of || 0, lastStep)}`));
  $("chart-line").textContent =
    `loss ${loss.value[loss.value.length - 1].toPrecision(4)} at step ${lastStep}; dashed: resumed there`;
}

/* ---- signing in ---- */

function say(kind, text) {
  $("connection").className = kind;
  $("connection").textContent = text;
}

function signIn(text) {
  token = text.trim();
  sessionStorage.setItem(STORAGE_KEY, token);
  $("sign-in").hidden = true;
  $("page").hidden = false;
  $("sign-out").hidden = false;
  say("", "connecting");
  followStream();
}

function signOut(why) {
  token = "";
  chosen = "";
  generation++;
  abort.abort();
  sessionStorage.removeItem(STORAGE_KEY);
  $("page").hidden = true;
  $("sign-out").hidden = true;
  $("sign-in").hidden = false;
  say(why ? "broken" : "", why || "not signed in");
  $("token").focus();
}

function start() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    history.replaceState(null, "", location.pathname); /* out of the address bar and the history */
  }
  $("sign-in").addEventListener("submit", (event) => {
    event.preventDefault();
    signIn($("token").value);
    $("token").value = "";
  });
  $("sign-out").addEventListener("click", () => signOut(""));
  setInterval(() => {
    if (token && document.visibilityState === "visible") {
      wantRefresh();
    }
  }, IDLE_REFRESH_MS);
  const known = given || sessionStorage.getItem(STORAGE_KEY);
  if (known) {
    signIn(known);
  } else {
    signOut("");
  }
}

start();
