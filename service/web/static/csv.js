/** Tables as text: RFC 4180 with commas, and what spreadsheets put on the clipboard (tabs) or export (semicolons). */

/** Return the lines of a table as lists of texts, without empty lines; the first line tells the separator. */
export function parse(text) {
    const whole = `${text.replace(/^\ufeff/, "")}\n`;
    const by = separator(whole);
    const pattern = new RegExp(`("[^"]*(?:""[^"]*)*"|[^"${by}\r\n][^${by}\r\n]*|)(${by}|\r\n?|\n)`, "y");
    const lines = [[]];
    while (pattern.lastIndex < whole.length) {
        const found = pattern.exec(whole);
        if (!found) throw new Error(`row ${lines.length - 1} has a quote that is not closed or out of place`);
        const [, cell, end] = found;
        const empty = !cell && !lines.at(-1).length;
        if (end === by || !empty) lines.at(-1).push(unquoted(cell));
        if (end !== by && !empty) lines.push([]);
    }
    return lines.slice(0, -1);
}

/** Return lists of texts as CSV. */
export function write(lines) {
    return lines.map((cells) => `${line(cells)}\r\n`).join("");
}

function line(cells) {
    // A line that is empty would be no row.
    return cells.length === 1 && cells[0] === "" ? '""' : cells.map(quoted).join(",");
}

function separator(text) {
    const [head] = text.replace(/"[^"]*"/g, "").split(/[\r\n]/, 1);
    const counted = [",", "\t", ";"].map((sign) => ({ sign, count: head.split(sign).length }));
    return counted.reduce((most, one) => (one.count > most.count ? one : most)).sign;
}

function quoted(cell) {
    const text = String(cell);
    return /[",;\t\r\n\ufeff]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function unquoted(cell) {
    return cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell;
}
