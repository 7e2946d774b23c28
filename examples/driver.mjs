// A diffusion library in another language, checked by refdiff:
//   refdiff check --cmd "node examples/driver.mjs"
// One JSON request a line comes on stdin, one JSON reply a line goes to stdout. What this
// library does not have is said to be unsupported; what has no answer is an error.
import { createInterface } from "node:readline";

class Unsupported extends Error {}

const sum = (a, b) => a.map((row, i) => row.map((v, j) => v + b[i][j]));
const times = (c, a) => a.map((row) => row.map((v) => c * v));
const plus = (...terms) => terms.reduce(sum);

// 1 - alpha_bar has a recursion of its own: subtracting would lose digits.
function tables({ kind, T, beta_1: low, beta_T: high, zero_snr: rescaled }) {
  const rooted = kind === "scaled-linear";
  if ((!rooted && kind !== "linear") || rescaled) throw new Unsupported("schedule");
  const [first, last] = rooted ? [Math.sqrt(low), Math.sqrt(high)] : [low, high];
  const signal2 = [], noise2 = [];
  for (let k = 0, a = 1, s = 0; k < T; k++) {
    const even = first + (k * (last - first)) / Math.max(T - 1, 1);
    const beta = rooted ? even * even : even;
    signal2.push((a *= 1 - beta));
    noise2.push((s = s * (1 - beta) + beta));
  }
  return { signal2, noise2 };
}

// [x0, eps] from what a model said at x = signal x0 + noise eps.
function predicted(target, x, y, signal, noise) {
  const r = Math.hypot(signal, noise);
  const x0 = (eps) => times(1 / signal, plus(x, times(-noise, eps)));
  const known = {
    eps: () => [x0(y), y],
    x0: () => [y, times(1 / noise, plus(x, times(-signal, y)))],
    v: () => [
      plus(times(signal / r / r, x), times(-noise / r, y)),
      plus(times(noise / r / r, x), times(signal / r, y)),
    ],
    score: () => [x0(times(-noise, y)), times(-noise, y)],
  };
  if (!(target in known)) throw new Unsupported(target);
  return known[target]();
}

// a / b to the nearest integer, halves to the even one.
function rounded(a, b) {
  const whole = Math.floor(a / b), left = 2 * (a - b * whole);
  return whole + (left > b || (left === b && whole % 2 === 1) ? 1 : 0);
}

const families = {
  alpha_bar: ({ schedule, k }) => k.map((i) => tables(schedule).signal2[i]),

  timesteps({ T, N, spacing }) {
    if (N > T) throw Error(`N must be at most T = ${T}; got ${N}`);
    const at = {
      leading: (i) => (N - 1 - i) * Math.floor(T / N),
      trailing: (i) => rounded(T * (N - i), N) - 1,
      linspace: (i) => (N > 1 ? rounded((N - 1 - i) * (T - 1), N - 1) : 0),
    }[spacing];
    return Array.from({ length: N }, (_, i) => at(i));
  },

  add_noise({ schedule, t, x0, eps }) {
    const { signal2, noise2 } = tables(schedule);
    const root = (table, i) => Math.sqrt(table[t[i]]);
    return x0.map((row, i) =>
      row.map((v, j) => root(signal2, i) * v + root(noise2, i) * eps[i][j]));
  },

  ddim({ schedule, timesteps, index, eta, target, x, output, z }) {
    const { signal2, noise2 } = tables(schedule);
    const now = timesteps[index], next = timesteps[index + 1];
    const [a, s] = [signal2[now], noise2[now]];
    const [b, r] = next === undefined ? [1, 0] : [signal2[next], noise2[next]];
    const [x0, eps] = predicted(target, x, output, Math.sqrt(a), Math.sqrt(s));
    const variance = (eta * eta * r * (s - (a / b) * r)) / s;
    const direction = Math.sqrt(Math.max(r - variance, 0));
    return plus(
      times(Math.sqrt(b), x0), times(direction, eps), times(Math.sqrt(variance), z));
  },

  euler({ sigmas, scaling, index, target, x, output }) {
    if (scaling && scaling !== "ve") throw new Unsupported(scaling);
    const [, eps] = predicted(target, x, output, 1, sigmas[index]);
    return plus(x, times(sigmas[index + 1] - sigmas[index], eps));
  },
};

const capabilities = { name: "driver.mjs", version: "1", dtype: "float64",
  conventions: {}, families: Object.keys(families) };

function reply({ verb, family, problem, inputs }) {
  if (verb === "capabilities") return capabilities;
  try {
    return { outputs: families[family]({ ...problem, ...inputs }) };
  } catch (error) {
    const kind = error instanceof Unsupported ? "unsupported" : "error";
    return { [kind]: error.message };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  console.log(JSON.stringify({ id: request.id, ...reply(request) }));
}
