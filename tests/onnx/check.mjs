// node check.mjs MODEL.onnx ROWS.json: runs the rows through ONNX Runtime and prints {"rows", "furthest"}, the largest
// absolute difference from what is expected. ROWS.json is {inputs: {name: {type, values, dims}}, expected: [...]}, or a
// file of tests/vectors, for which expected is computed here.
import { readFileSync } from 'node:fs';
import ort from 'onnxruntime-node';
import { rowsOfVectors } from './reference.mjs';

const arrays = { float32: (v) => Float32Array.from(v, (x) => x ?? NaN), int64: (v) => BigInt64Array.from(v, BigInt) };
const [model, path] = process.argv.slice(2);
const document = JSON.parse(readFileSync(path, 'utf8'));
const { inputs, expected } = document.batches ? rowsOfVectors(document) : document;
const session = await ort.InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1 });
const feeds = {};
for (const [name, { type, values, dims }] of Object.entries(inputs))
    feeds[name] = new ort.Tensor(type, arrays[type](values), dims);
const outputs = await session.run(feeds);
const got = outputs[session.outputNames[0]];
if (got.data.length !== expected.length)
    throw new Error(`${got.data.length} values of shape [${got.dims}], expected ${expected.length}`);
const furthest = expected.reduce((most, x, i) => Math.max(most, Math.abs(x - got.data[i])), 0);
console.log(JSON.stringify({ rows: got.dims[0], furthest: Number.isNaN(furthest) ? 'NaN' : furthest }));
