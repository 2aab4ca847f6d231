// The three families in float64, straight from tests/vectors/*.json: what ONNX Runtime is compared with.
const sigmoid = (x) => 1 / (1 + Math.exp(-x));

// Abramowitz and Stegun's series and continued fraction for erf: as exact as float64 sums of it are.
function erf(x) {
    const a = Math.abs(x);
    let value = 1;
    if (a < 3) {
        let term = a, sum = a;
        for (let n = 1; n < 100; n++) {
            term *= -a * a / n;
            sum += term / (2 * n + 1);
        }
        value = 2 / Math.sqrt(Math.PI) * sum;
    } else if (a < 6) {
        let fraction = 0;
        for (let n = 60; n >= 1; n--)
            fraction = n / 2 / (a + fraction);
        value = 1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction);
    }
    return x < 0 ? -value : value;
}

const activations = {
    relu: (x) => Math.max(0, x),
    tanh: Math.tanh,
    gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
};

const row = (tensor, i) => tensor.values.slice(i * tensor.shape[1], (i + 1) * tensor.shape[1]);

function dense(parameters, name, x) {
    const weight = parameters[name + '.weight'], bias = parameters[name + '.bias'];
    return bias.values.map((b, i) => row(weight, i).reduce((sum, w, j) => sum + w * x[j], b));
}

function head(kind, logits) {
    if (kind === 'sigmoid')
        return logits.map(sigmoid);
    if (kind === 'linear')
        return logits;
    const top = Math.max(...logits);
    const powers = logits.map((x) => Math.exp(x - top));
    const sum = powers.reduce((a, b) => a + b);
    return powers.map((p) => p / sum);
}

function mlp(document, parameters) {
    const { records, model } = document;
    const width = records.numeric_width, tables = records.buckets.length;
    const raw = records.numeric_bytes ?? records.numeric;
    const inputs = {}, rows = [];
    const count = records.labels.length;
    for (let i = 0; i < count; i++) {
        let x = raw.slice(i * width, (i + 1) * width).map((v) => records.numeric_bytes ? v / 255 : v);
        for (let t = 0; t < tables; t++)
            x = x.concat(row(parameters[`embedding.${t}.weight`], records.category[i * tables + t]));
        for (let l = 0; l < model.hidden.length; l++)
            x = dense(parameters, 'layer' + l, x).map(activations[model.activation]);
        rows.push(...head(model.head, dense(parameters, 'layer' + model.hidden.length, x)));
    }
    if (width > 0)
        inputs[records.numeric_bytes ? 'features' : 'numeric'] = { type: 'float32', values: raw, dims: [count, width] };
    if (tables > 0)
        inputs.category = { type: 'int64', values: records.category, dims: [count, tables] };
    return { inputs, expected: rows };
}

function ncf(document, parameters) {
    const { model } = document;
    const user = document.batches.flatMap((b) => b.user), item = document.batches.flatMap((b) => b.item);
    const expected = user.map((u, i) => {
        let both = [];
        if (model.variant !== 'mlp') {
            const other = row(parameters['gmf_item.weight'], item[i]);
            both = row(parameters['gmf_user.weight'], u).map((v, k) => v * other[k]);
        }
        if (model.variant !== 'gmf') {
            let x = row(parameters['mlp_user.weight'], u).concat(row(parameters['mlp_item.weight'], item[i]));
            for (let l = 0; l + 1 < model.layers.length; l++)
                x = dense(parameters, 'mlp' + l, x).map(activations.relu);
            both = both.concat(x);
        }
        return sigmoid(dense(parameters, 'output', both)[0]);
    });
    const ids = (values) => ({ type: 'int64', values, dims: [values.length] });
    return { inputs: { user: ids(user), item: ids(item) }, expected };
}

// The last state of one direction; gates i, f, g, o.
function lstm(parameters, suffix, vectors, hidden) {
    let h = Array(hidden).fill(0), c = Array(hidden).fill(0);
    const ih = parameters['lstm.weight_ih_l0' + suffix], hh = parameters['lstm.weight_hh_l0' + suffix];
    const bias = parameters['lstm.bias_ih_l0' + suffix].values.map((b, i) => b + parameters['lstm.bias_hh_l0' + suffix].values[i]);
    for (const x of vectors) {
        const sum = bias.map((b, i) => row(ih, i).reduce((s, w, j) => s + w * x[j], b) + row(hh, i).reduce((s, w, j) => s + w * h[j], 0));
        c = c.map((v, k) => sigmoid(sum[hidden + k]) * v + sigmoid(sum[k]) * Math.tanh(sum[2 * hidden + k]));
        h = c.map((v, k) => sigmoid(sum[3 * hidden + k]) * Math.tanh(v));
    }
    return h;
}

function bilstm(document, parameters) {
    const { records, model } = document;
    const skips = model.padding === 'skip', steps = records.length;
    const tokens = [], lengths = [], expected = [];
    for (let i = 0; i + 1 < records.offsets.length; i++) {
        const text = records.tokens.slice(records.offsets[i], records.offsets[i + 1]);
        const padding = Array(steps - text.length).fill(0);
        const read = skips ? text : padding.concat(text);
        tokens.push(...(skips ? text.concat(padding) : read));
        lengths.push(text.length);
        const vectors = read.map((t) => row(parameters['embedding.weight'], t));
        const states = lstm(parameters, '', vectors, model.hidden)
            .concat(lstm(parameters, '_reverse', vectors.toReversed(), model.hidden));
        expected.push(...head(model.head, dense(parameters, 'output', states)));
    }
    const count = lengths.length;
    const inputs = { tokens: { type: 'int64', values: tokens, dims: [count, steps] } };
    if (skips)
        inputs.lengths = { type: 'int64', values: lengths, dims: [count] };
    return { inputs, expected };
}

// {inputs, expected} of all records of a file of tests/vectors, by its parameters after 20 steps.
export function rowsOfVectors(document) {
    return { mlp, ncf, bilstm }[document.model.type](document, document.parameters.after_20);
}
