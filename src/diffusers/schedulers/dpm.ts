// DPMSolverMultistep, DPMSolverSinglestep, DEISMultistep and EDMDPMSolverMultistep: exponential steps between sigmas.
import type { Row } from "../../core/row.ts";
import { combine, eps, x0 } from "../../solvers/combine.ts";
import {
  type Combination,
  type ExponentialOptions,
  exponentialStep,
  moments,
  type Variable,
} from "../../solvers/exponential.ts";
import { refuse } from "./config.ts";
import { edmLadder, type Ladder, ladder } from "./ladder.ts";
import { limit, readOutput } from "./output.ts";
import type { Call, Context, Memory, SchedulerBody } from "./scheduler.ts";

interface Method {
  readonly variable: Variable;
  readonly stochastic: boolean;
  readonly slope: "taylor" | "half";
}

/** algorithm_type and solver_type, with the names other classes use for their defaults. */
function method({ name, options: o }: Context, algorithms: readonly string[]): Method {
  const algorithm = o.algorithm_type === "deis" && !name.startsWith("DEIS") ? "dpmsolver++" : o.algorithm_type;
  if (!algorithms.includes(algorithm)) refuse(name, "algorithm_type", o.algorithm_type, algorithms.join(", "));
  const solver = ["logrho", "bh1", "bh2"].includes(o.solver_type) ? "midpoint" : o.solver_type;
  if (solver !== "midpoint" && solver !== "heun") refuse(name, "solver_type", o.solver_type, "midpoint or heun");
  const variable = algorithm.endsWith("++") ? "x0" : "eps";
  if (variable === "eps" && o.final_sigmas_type === "zero")
    refuse(name, "final_sigmas_type", "zero", `sigma_min with algorithm_type ${algorithm}`);
  return { variable, stochastic: algorithm.startsWith("sde"), slope: solver === "heun" ? "taylor" : "half" };
}

/** x0 or eps of a call, thresholded through x0. */
function convert(
  context: Context,
  steps: Ladder,
  variable: Variable,
  k: number,
  x: Float32Array,
  output: Float32Array,
): Float32Array {
  const row = steps.row(k);
  const pred = steps.prediction?.(k);
  if (variable === "eps" && !context.options.thresholding) return readOutput(context, row, x, output, eps, pred);
  const data = limit(context, readOutput(context, row, x, output, x0, pred), false);
  if (variable === "x0") return data;
  return combine([
    [1 / row[1], x],
    [-row[0] / row[1], data],
  ]);
}

const apply = (c: Combination, x: Float32Array, calls: readonly Call[], noise: () => Float32Array): Float32Array => {
  const terms = calls.map(({ m }, j) => [c.outputs[j], m] as const);
  return combine(c.noise === 0 ? [[c.x, x], ...terms] : [[c.x, x], ...terms, [c.noise, noise()]]);
};

const body = (steps: Ladder, step: SchedulerBody["step"]): SchedulerBody => ({
  timesteps: steps.timesteps,
  initNoiseSigma: steps.initNoiseSigma,
  inputScale: steps.inputScale,
  row: steps.row,
  step,
});

function checkOrder({ name, options: o }: Context, most: number): void {
  if (![1, 2, 3].slice(0, most).includes(o.solver_order))
    refuse(name, "solver_order", o.solver_order, `an integer from 1 to ${most}`);
}

/** The multistep classes: the order grows over the first calls and falls over the last two of short runs. */
export function dpmMultistepScheduler(context: Context): SchedulerBody {
  const { name, options: o } = context;
  const edm = name === "EDMDPMSolverMultistepScheduler";
  const how = method(
    context,
    edm ? ["dpmsolver++", "sde-dpmsolver++"] : ["dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++"],
  );
  checkOrder(context, 3);
  const steps = edm ? edmLadder(context) : ladder(context);
  const rule: Rule = (from, to, rows) => {
    if (rows.length < 3) return exponentialStep(how, from, to, rows);
    if (how.stochastic && (edm || how.variable === "eps")) {
      refuse(name, "solver_order", 3, `1 or 2 with algorithm_type ${o.algorithm_type}`);
    }
    return publishedThird(how, from, to, rows);
  };
  return body(steps, multistep(context, steps, how, rule, true));
}

/** Log-rho DEIS is the exponential integrator of eps with the slopes integrated exactly. */
export function deisScheduler(context: Context): SchedulerBody {
  const { name, options: o } = context;
  if (!["deis", "dpmsolver", "dpmsolver++"].includes(o.algorithm_type))
    refuse(name, "algorithm_type", o.algorithm_type, "deis");
  if (!["logrho", "midpoint", "heun", "bh1", "bh2"].includes(o.solver_type))
    refuse(name, "solver_type", o.solver_type, "logrho");
  checkOrder(context, 3);
  const steps = ladder(context);
  const how: Method = { variable: "eps", stochastic: false, slope: "taylor" };
  return body(
    steps,
    multistep(context, steps, how, (from, to, rows) => exponentialStep(how, from, to, rows), false),
  );
}

type Rule = (from: Row, to: Row, rows: readonly Row[]) => Combination;

function multistep(context: Context, steps: Ladder, how: Method, rule: Rule, eulerEnd: boolean): SchedulerBody["step"] {
  const { options: o } = context;
  const count = steps.timesteps.length;
  return ({ k, x, output, noise, memory }) => {
    const m = convert(context, steps, how.variable, k, x, output);
    const past = [{ row: steps.row(k), m, x }, ...memory.past].slice(0, o.solver_order);
    const short = o.lower_order_final && count < 15;
    const last = k === count - 1 && (short || (eulerEnd && (o.euler_at_final || o.final_sigmas_type === "zero")));
    const order = last ? 1 : k === count - 2 && short ? Math.min(2, past.length) : past.length;
    const used = past.slice(0, order);
    const c = rule(
      used[0].row,
      steps.row(k + 1),
      used.map(({ row }) => row),
    );
    return { x: apply(c, x, used, noise), memory: { past } };
  };
}

/**
 * The third-order multistep update as published in code: the second divided difference enters with half of its Taylor
 * weight (so the measured order is 2), and the stochastic one adds 1 to phi_3.
 */
function publishedThird(
  { variable, stochastic }: ExponentialOptions,
  from: Row,
  to: Row,
  rows: readonly Row[],
): Combination {
  const [l, l0, l1, l2] = [to, ...rows].map(([alpha, sigma]) => Math.log(alpha / sigma));
  const h = l - l0;
  const first = exponentialStep({ variable, stochastic }, from, to, rows.slice(0, 1));
  if (h === 0) return { ...first, outputs: [...first.outputs, 0, 0] };
  const z = variable === "x0" ? (stochastic ? -2 * h : -h) : h;
  const scale = -(variable === "x0" ? to[0] : to[1]);
  const [, phi2, twicePhi3] = moments(z, 3);
  const [w1, w2] = [scale * phi2, scale * (twicePhi3 / 2 + (stochastic ? 1 : 0))];
  const [r0, r1] = [(l0 - l1) / h, (l1 - l2) / h];
  // D1 = a + r0/(r0+r1)(a - b), D2 = (a - b)/(r0+r1) with a = (m0-m1)/r0, b = (m1-m2)/r1
  const a = w1 + (w1 * r0 + w2) / (r0 + r1);
  const b = -(w1 * r0 + w2) / (r0 + r1);
  return { x: first.x, noise: first.noise, outputs: [first.outputs[0] + a / r0, b / r1 - a / r0, -b / r1] };
}

/** The singlestep class: groups of calls share one anchor, and the intermediate states are the grid's own. */
export function dpmSinglestepScheduler(context: Context): SchedulerBody {
  const { name, options: o } = context;
  const how = method(context, ["dpmsolver", "dpmsolver++", "sde-dpmsolver++"]);
  checkOrder(context, 3);
  if (o.thresholding && how.variable === "eps")
    refuse(name, "thresholding", true, "false with algorithm_type dpmsolver");
  const steps = ladder(context);
  const orders = orderList(context, steps.timesteps.length);
  return body(steps, ({ k, x, output, noise, memory }) => {
    const m = convert(context, steps, how.variable, k, x, output);
    const order = Math.min(orders[k], memory.past.length + 1);
    const anchor = order === 1 ? x : (memory.x ?? x);
    // Oldest first: the anchor of the group, then the points after it.
    const kept = [{ row: steps.row(k), m, x }, ...memory.past].slice(0, o.solver_order);
    const group = kept.slice(0, order).reverse();
    const to = steps.row(k + 1);
    const next: Memory = { past: kept, x: anchor };
    if (order < 3)
      return {
        x: apply(
          exponentialStep(
            how,
            group[0].row,
            to,
            group.map(({ row }) => row),
          ),
          anchor,
          group,
          noise,
        ),
        memory: next,
      };
    const used = how.slope === "half" ? [group[0], group[2]] : group;
    const c = exponentialStep(
      { ...how, slope: "taylor" },
      group[0].row,
      to,
      used.map(({ row }) => row),
    );
    return {
      x: apply(how.stochastic && used.length === 3 ? shiftedThird(c, group, to) : c, anchor, used, noise),
      memory: next,
    };
  });
}

/** The published stochastic third-order update adds 1 to phi_3: -alpha times the second derivative. */
function shiftedThird(c: Combination, group: readonly Call[], to: Row): Combination {
  const [l0, l1, l2, l] = [...group.map(({ row }) => row), to].map(([alpha, sigma]) => Math.log(alpha / sigma));
  const [r1, r0] = [(l1 - l0) / (l - l0), (l2 - l0) / (l - l0)];
  const extra = (-to[0] * 2) / (r0 - r1);
  return {
    ...c,
    outputs: [c.outputs[0] + extra * (1 / r1 - 1 / r0), c.outputs[1] - extra / r1, c.outputs[2] + extra / r0],
  };
}

/** Orders of all calls; lower_order_final is switched on where the steps do not divide, as diffusers does. */
function orderList({ options: o }: Context, steps: number): number[] {
  const repeat = (group: number[], times: number) => Array.from({ length: Math.max(0, times) }, () => group).flat();
  const groups = o.solver_order;
  const full = Array.from({ length: groups }, (_, i) => i + 1);
  const lower = o.lower_order_final || steps % groups !== 0 || o.final_sigmas_type === "zero";
  const times = Math.floor(steps / groups);
  const rest = steps % groups;
  let orders = repeat(full, times);
  if (lower && groups > 1) {
    if (groups === 3)
      orders =
        rest === 0 ? [...repeat(full, times - 1), 1, 2, 1] : [...repeat(full, times), ...(rest === 1 ? [1] : [1, 2])];
    else orders = rest === 0 ? [...repeat(full, times - 1), 1, 1] : [...orders, 1];
  }
  if (o.final_sigmas_type === "zero") orders[orders.length - 1] = 1;
  return orders;
}
