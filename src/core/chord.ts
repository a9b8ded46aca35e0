// The chord of a form: alpha and sigma linear in t between window edges. This is PeRFlow's path.
import { checkInverse, checkTime, type Form, logSnr } from "./form.ts";
import type { Row } from "./row.ts";
import type { Windows } from "./windows.ts";

/**
 * PeRFlow interpolates z_t linearly between the two ends of a window (PeRFlow, eq. 7). Both ends are rows of one pair,
 * so the interpolation is a form whose rows are the chords of the base form's.
 * At an edge the rate is that of the window the edge starts; at t = 0 that of the last window.
 */
export function chord(base: Form, windows: Windows): Form {
  const name = `chord(${base.name}, ${windows.count})`;
  const rows = windows.edges.map((t) => base.at(t));
  const levels = windows.edges.map((t) => logSnr(base, t));
  const last = windows.count - 1;

  const slope = (i: number): Row => {
    const dt = windows.edges[i + 1] - windows.edges[i];
    return [(rows[i + 1][0] - rows[i][0]) / dt, (rows[i + 1][1] - rows[i][1]) / dt];
  };
  return {
    name,
    windows,
    spec: { kind: "chord", base: base.spec, windows: windows.spec },
    tMin: 0,
    tMax: 1,
    at(t) {
      checkTime(name, t);
      if (t === 0) return rows[windows.count];
      const { index, start, end } = windows.of(t);
      const q = (t - start) / (end - start);
      if (Math.abs(q) < 1e-12) return rows[index];
      const [from, to] = [rows[index], rows[index + 1]];
      return [(1 - q) * from[0] + q * to[0], (1 - q) * from[1] + q * to[1]];
    },
    rate(t) {
      checkTime(name, t);
      return slope(t === 0 ? last : windows.of(t).index);
    },
    tAt(lambda) {
      let i = 0;
      while (i < last && levels[i + 1] < lambda) i++;
      // alpha = e^lambda sigma on a straight line; the smaller of e^lambda and e^-lambda keeps both factors finite.
      const [p, q] = lambda < 0 ? [1, Math.exp(lambda)] : [Math.exp(-lambda), 1];
      const start = p * rows[i][0] - q * rows[i][1];
      const end = p * rows[i + 1][0] - q * rows[i + 1][1];
      const [from, to] = [windows.edges[i], windows.edges[i + 1]];
      return checkInverse(name, lambda, from + ((to - from) * start) / (start - end), to, from);
    },
  };
}
