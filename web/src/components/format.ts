/** Numbers as people read them. A figure that isn't there is said to be missing, never shown as 0. */

export const MISSING = "–";

type Figure = number | null | undefined;

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

function figure(value: Figure, text: (value: number) => string): string {
  return value === null || value === undefined || !Number.isFinite(value)
    ? MISSING
    : text(value).replace("-", "−");
}

/** 3,823 */
export function count(value: Figure): string {
  return figure(value, (n) => whole.format(n));
}

/** 1.2M, where the last digits don't matter */
export function roughly(value: Figure): string {
  return figure(value, (n) => (Math.abs(n) < 10_000 ? whole : short).format(n));
}

/** 29.9, and 940 where tenths say nothing */
export function rate(value: Figure): string {
  return figure(value, (n) => (Math.abs(n) < 100 ? tenths : whole).format(n));
}

/** 4.1 Mbit/s */
export function bitrate(value: Figure): string {
  return figure(value, (n) =>
    n < 1e6 ? `${whole.format(n / 1e3)} kbit/s` : `${tenths.format(n / 1e6)} Mbit/s`,
  );
}

/** 1280 × 720 */
export function size(width: number, height: number): string {
  return `${width} × ${height}`;
}

/** 42 s, 5 min, 3 h 20 min, 2 d 4 h */
export function duration(seconds: Figure): string {
  return figure(seconds, (s) => {
    const minutes = Math.floor(s / 60);
    const hours = Math.floor(minutes / 60);
    if (minutes < 1) return `${Math.floor(s)} s`;
    if (hours < 1) return `${minutes} min`;
    if (hours < 24) return `${hours} h ${minutes % 60} min`;
    return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  });
}

/** 14:03:27, local time */
export function clock(unixMs: number): string {
  return new Date(unixMs).toLocaleTimeString("en-GB");
}

/** 62 %, of a share between 0 and 1 */
export function percent(share: Figure): string {
  return figure(share, (n) => `${whole.format(100 * n)} %`);
}

/** 1.4 %, of a share between 0 and 1 that is small */
export function share(value: Figure): string {
  return figure(value, (n) => `${tenths.format(100 * n)} %`);
}

/** +100, −5.0; a plain 0 */
export function signed(value: Figure): string {
  return figure(value, (n) => {
    if (n === 0) return "0";
    return `${n > 0 ? "+" : "−"}${rate(Math.abs(n))}`;
  });
}

/** 340 ms, 1.2 s */
export function interval(seconds: Figure): string {
  return figure(seconds, (s) => (s < 1 ? `${whole.format(1000 * s)} ms` : `${tenths.format(s)} s`));
}

/** 1.4 MB */
export function bytes(value: Figure): string {
  return figure(value, (n) =>
    n < 1e6 ? `${whole.format(n / 1e3)} kB` : `${tenths.format(n / 1e6)} MB`,
  );
}

/** 23 Nov, 14:03, local time */
export function moment(unixMs: number): string {
  return new Date(unixMs).toLocaleString("en-GB", {
    day: "numeric",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
  });
}
