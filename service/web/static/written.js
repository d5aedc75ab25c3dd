/** Numbers and units as a person reads them. */

const NUMBER = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });
const SHORT = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const PERCENT = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const UNITLESS = new Set(JSON.parse(document.querySelector("main")?.dataset.unitless ?? "[]"));

/** A number with six significant digits; what is no number stays as it is. */
export const written = (value) => (typeof value === "number" ? tidy(NUMBER, value) : String(value));

/** A number with three significant digits and its sign. */
export const signed = (value) => (value < 0 ? "−" : value > 0 ? "+" : "") + tidy(SHORT, Math.abs(value));

/** A probability in percent; only what is certain is 0 % or 100 %. */
export function percent(share) {
    if (share > 0 && share < 0.001) return "< 0.1 %";
    if (share < 1 && share > 0.999) return "> 99.9 %";
    return PERCENT.format(share).replace("%", " %");
}

/** A unit with a space before it, or nothing where there is none. */
export const unit = (name) => (UNITLESS.has(name) ? "" : ` ${name}`);

function tidy(format, value) {
    const size = Math.abs(value);
    const text = value !== 0 && (size < 1e-4 || size >= 1e12) ? value.toExponential(2) : format.format(value);
    return text.replace(/^-/, "−");
}
