/** Number and time formatting. A missing value is shown as a dash, never as 0. */

export const MISSING = "–";

type Value = number | null | undefined;

const integer = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const oneDecimal = new Intl.NumberFormat("en", {
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
});
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const upToTwo = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 2 });
const upToThree = new Intl.NumberFormat("en", {
  minimumFractionDigits: 1,
  maximumFractionDigits: 3,
});

/** Units of the labels of an axis: from which label on, size and sign. */
const UNITS = [
  { from: 1e9, size: 1e9, sign: "B" },
  { from: 1e6, size: 1e6, sign: "M" },
  { from: 1e4, size: 1e3, sign: "K" },
  { from: 0, size: 1, sign: "" },
] as const;
const MAX_DECIMALS = 12;
const SECONDS_A_DAY = 86_400;

function format(value: Value, toText: (value: number) => string): string {
  return value === null || value === undefined || !Number.isFinite(value)
    ? MISSING
    : toText(value).replace("-", "−");
}

/** 3,823 */
export function formatCount(value: Value): string {
  return format(value, (n) => integer.format(n));
}

/** 9,999 and 1.2M */
export function formatCompact(value: Value): string {
  return format(value, (n) => (Math.abs(n) < 10_000 ? integer : compact).format(n));
}

/** 940, 29.9, 5.0, 5.25, 0.93 and 0.012: three digits, and one decimal at least */
export function formatNumber(value: Value): string {
  return format(value, (n) => {
    const size = Math.abs(n);
    if (size >= 100) return integer.format(n);
    if (size >= 10) return oneDecimal.format(n);
    return (size < 0.1 ? upToThree : upToTwo).format(n);
  });
}

/**
 * Format the labels of an axis with as many digits as tell them apart.
 *
 * @param increment between two labels
 */
export function formatTicks(values: readonly number[], increment: number): string[] {
  const largest = Math.max(0, ...values.map(Math.abs));
  const { size, sign } = UNITS.find(({ from }) => largest >= from) ?? UNITS[3];
  const digits = decimals(increment / size);
  const ticks = new Intl.NumberFormat("en", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
  return values.map((value) =>
    value === 0 ? "0" : format(value, (n) => `${ticks.format(n / size)}${sign}`),
  );
}

/** Return how many decimals a number has. */
function decimals(value: number): number {
  let digits = 0;
  while (digits < MAX_DECIMALS && !isWhole(value * 10 ** digits)) digits++;
  return digits;
}

function isWhole(value: number): boolean {
  return Math.abs(value - Math.round(value)) < 1e-6 * Math.max(1, Math.abs(value));
}

/** +100, −5.0 and a plain 0 */
export function formatSigned(value: Value): string {
  return format(value, (n) => {
    if (n === 0) return "0";
    return `${n > 0 ? "+" : "−"}${formatNumber(Math.abs(n))}`;
  });
}

/** 62%, from a fraction of 1 */
export function formatPercent(fraction: Value): string {
  return format(fraction, (n) => `${integer.format(100 * n)}%`);
}

/** 1.4%, from a small fraction of 1 */
export function formatFinePercent(fraction: Value): string {
  return format(fraction, (n) => `${oneDecimal.format(100 * n)}%`);
}

/** 4.1 Mbit/s */
export function formatBitrate(bitsPerSecond: Value): string {
  return format(bitsPerSecond, (n) =>
    n < 1e6 ? `${integer.format(n / 1e3)} kbit/s` : `${oneDecimal.format(n / 1e6)} Mbit/s`,
  );
}

/** 1.4 MB */
export function formatBytes(bytes: Value): string {
  return format(bytes, (n) =>
    n < 1e6 ? `${integer.format(n / 1e3)} kB` : `${oneDecimal.format(n / 1e6)} MB`,
  );
}

/** 1280 × 720 */
export function formatResolution(width: number, height: number): string {
  return `${width} × ${height}`;
}

/** 42 s, 5 min, 3 h 20 min, 2 d 4 h */
export function formatDuration(seconds: Value): string {
  return format(seconds, (s) => {
    const minutes = Math.floor(s / 60);
    const hours = Math.floor(minutes / 60);
    if (minutes < 1) return `${Math.floor(s)} s`;
    if (hours < 1) return `${minutes} min`;
    if (hours < 24) return `${hours} h ${minutes % 60} min`;
    return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  });
}

/** 0:07.2, 12:07.2 and 1:02:07.2; the time in a video */
export function formatClock(seconds: Value): string {
  return format(seconds, (s) => {
    const tenths = Math.round(10 * s);
    const minutes = Math.floor(tenths / 600);
    const rest = ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
    if (minutes < 60) return `${minutes}:${rest}`;
    return `${Math.floor(minutes / 60)}:${`${minutes % 60}`.padStart(2, "0")}:${rest}`;
  });
}

/** 340 ms, 1.2 s */
export function formatLatency(seconds: Value): string {
  return format(seconds, (s) =>
    s < 1 ? `${integer.format(1000 * s)} ms` : `${oneDecimal.format(s)} s`,
  );
}

/** 14:03:27, local time as the viewer writes it */
export function formatTime(unixMs: number): string {
  return new Date(unixMs).toLocaleTimeString();
}

/** 23 Nov, 14:03, local time as the viewer writes it */
export function formatDateTime(unixMs: number): string {
  return new Date(unixMs).toLocaleString(undefined, {
    day: "numeric",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
  });
}

/**
 * Format the labels of an axis of times.
 *
 * @param unixS Unix times, seconds
 * @param increment between two labels, seconds
 */
export function formatAxisTimes(unixS: readonly number[], increment: number): string[] {
  const options: Intl.DateTimeFormatOptions =
    increment >= SECONDS_A_DAY
      ? { day: "numeric", month: "short" }
      : { hour: "2-digit", minute: "2-digit", ...(increment < 60 && { second: "2-digit" }) };
  return unixS.map((s) => new Date(1000 * s).toLocaleString(undefined, options));
}
