// The closed-form noise schedules. Table and chord forms have their own files.
import { checkInverse, checkTime, type Form, positive } from "./form.ts";
import type { Row } from "./row.ts";

/**
 * Flow matching: alpha = 1 - s, sigma = s. With `shift` k, s = k t / (1 + (k - 1) t)
 * (Esser et al. 2024, eq. 23): more of the time axis at high noise.
 */
export function linear(shift = 1): Form {
  positive("linear", "shift", shift);
  const name = shift === 1 ? "linear" : `linear(shift ${shift})`;
  const warp = (t: number) => (shift * t) / (1 + (shift - 1) * t);
  return {
    name,
    spec: { kind: "linear", shift },
    tMin: 0,
    tMax: 1,
    at(t) {
      checkTime(name, t);
      const s = t === 1 ? 1 : warp(t);
      return [(1 - t) / (1 + (shift - 1) * t), s];
    },
    rate(t) {
      checkTime(name, t);
      const slope = shift / (1 + (shift - 1) * t) ** 2;
      return [-slope, slope];
    },
    tAt(lambda) {
      // s = 1 / (1 + e^lambda) and t = s / (shift - (shift - 1) s)
      return checkInverse(name, lambda, 1 / (1 + shift * Math.exp(lambda)), 0, 1);
    },
  };
}

/** ½∫β of the linear β(t) from betaMin to betaMax; log alpha of VP and sub-VP is minus this (Song et al. 2021, eq. 33). */
function linearBeta(name: string, betaMin: number, betaMax: number) {
  positive(name, "betaMin", betaMin);
  if (!(betaMax >= betaMin && Number.isFinite(betaMax))) {
    throw new RangeError(`Option betaMax of the form ${name} is ${betaMax}. Expected at least betaMin = ${betaMin}.`);
  }
  const a = (betaMax - betaMin) / 4;
  const b = betaMin / 2;
  return {
    half: (t: number) => (a * t + b) * t,
    beta: (t: number) => betaMin + (betaMax - betaMin) * t,
    inverse: (half: number) =>
      half === Number.POSITIVE_INFINITY ? half : (2 * half) / (b + Math.sqrt(b * b + 4 * a * half)),
  };
}

/** Variance preserving, continuous: alpha = exp(-½∫β), sigma² = 1 - alpha². Trained from t = 1e-3. */
export function vp({ betaMin = 0.1, betaMax = 20 }: { betaMin?: number; betaMax?: number } = {}): Form {
  const name = "vp";
  const { half, beta, inverse } = linearBeta(name, betaMin, betaMax);
  const at = (t: number): Row => {
    checkTime(name, t);
    return [Math.exp(-half(t)), Math.sqrt(-Math.expm1(-2 * half(t)))];
  };
  return {
    name,
    spec: { kind: "vp", betaMin, betaMax },
    tMin: 1e-3,
    tMax: 1,
    at,
    rate(t) {
      const [alpha, sigma] = at(t);
      const k = beta(t) / 2;
      return [-k * alpha, (k * alpha * alpha) / sigma];
    },
    tAt: (lambda) => checkInverse(name, lambda, inverse(softplus(-2 * lambda) / 2), 0, 1),
  };
}

/** Sub-VP: alpha of VP, sigma = 1 - alpha² (the standard deviation itself, not its square). */
export function subVp({ betaMin = 0.1, betaMax = 20 }: { betaMin?: number; betaMax?: number } = {}): Form {
  const name = "subVp";
  const { half, beta, inverse } = linearBeta(name, betaMin, betaMax);
  const at = (t: number): Row => {
    checkTime(name, t);
    return [Math.exp(-half(t)), -Math.expm1(-2 * half(t))];
  };
  return {
    name,
    spec: { kind: "subVp", betaMin, betaMax },
    tMin: 1e-3,
    tMax: 1,
    at,
    rate(t) {
      const [alpha] = at(t);
      return [(-beta(t) / 2) * alpha, beta(t) * alpha * alpha];
    },
    // alpha/(1 - alpha²) = e^lambda  <=>  -ln alpha = asinh(e^-lambda / 2)
    tAt: (lambda) => checkInverse(name, lambda, inverse(Math.asinh(Math.exp(-lambda) / 2)), 0, 1),
  };
}

/** Trigonometric VP: alpha = cos(πt/2), sigma = sin(πt/2) (Salimans & Ho 2022). */
export function cosine(): Form {
  const name = "cosine";
  const half = Math.PI / 2;
  const at = (t: number): Row => {
    checkTime(name, t);
    return t === 1 ? [0, 1] : [Math.cos(half * t), Math.sin(half * t)];
  };
  return {
    name,
    spec: { kind: "cosine" },
    tMin: 0,
    tMax: 1,
    at,
    rate(t) {
      const [alpha, sigma] = at(t);
      return [-half * sigma, half * alpha];
    },
    tAt: (lambda) => checkInverse(name, lambda, Math.atan(Math.exp(-lambda)) / half, 0, 1),
  };
}

/** Variance exploding: alpha = 1, sigma geometric in t (Song et al. 2021, eq. 31). */
export function ve({ sigmaMin = 0.01, sigmaMax = 50 }: { sigmaMin?: number; sigmaMax?: number } = {}): Form {
  const name = "ve";
  checkSigmas(name, sigmaMin, sigmaMax);
  const ratio = Math.log(sigmaMax / sigmaMin);
  const sigma = (t: number) => sigmaMin * Math.exp(ratio * t);
  return exploding(
    name,
    { kind: "ve", sigmaMin, sigmaMax },
    sigma,
    (t) => ratio * sigma(t),
    (s) => Math.log(s / sigmaMin) / ratio,
  );
}

/** EDM: alpha = 1 and sigma^(1/rho) linear in t, so a uniform grid in t is EDM's grid (Karras et al. 2022, eq. 5). */
export function edm({
  sigmaMin = 0.002,
  sigmaMax = 80,
  rho = 7,
}: {
  sigmaMin?: number;
  sigmaMax?: number;
  rho?: number;
} = {}): Form {
  const name = "edm";
  checkSigmas(name, sigmaMin, sigmaMax);
  positive(name, "rho", rho);
  const low = sigmaMin ** (1 / rho);
  const span = sigmaMax ** (1 / rho) - low;
  const root = (t: number) => low + span * t;
  return exploding(
    name,
    { kind: "edm", sigmaMin, sigmaMax, rho },
    (t) => root(t) ** rho,
    (t) => rho * root(t) ** (rho - 1) * span,
    (s) => (s ** (1 / rho) - low) / span,
  );
}

function exploding(
  name: string,
  spec: Form["spec"],
  sigma: (t: number) => number,
  slope: (t: number) => number,
  inverse: (sigma: number) => number,
): Form {
  return {
    name,
    spec,
    tMin: 0,
    tMax: 1,
    at(t) {
      checkTime(name, t);
      return [1, sigma(t)];
    },
    rate(t) {
      checkTime(name, t);
      return [0, slope(t)];
    },
    tAt: (lambda) => checkInverse(name, lambda, inverse(Math.exp(-lambda)), 0, 1),
  };
}

function checkSigmas(name: string, sigmaMin: number, sigmaMax: number): void {
  positive(name, "sigmaMin", sigmaMin);
  if (!(sigmaMax > sigmaMin && Number.isFinite(sigmaMax))) {
    throw new RangeError(
      `Option sigmaMax of the form ${name} is ${sigmaMax}. Expected more than sigmaMin = ${sigmaMin}.`,
    );
  }
}

/** ln(1 + e^x) without overflow. */
const softplus = (x: number): number => (x > 0 ? x + Math.log1p(Math.exp(-x)) : Math.log1p(Math.exp(x)));
