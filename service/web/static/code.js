/** The same request for a shell and for Python, to copy. */

import { element } from "./elements.js";

/** A command for a POSIX shell that asks for one row. */
export function curl(address, row) {
    const body = quoted(json({ instances: [row] }));
    return `curl ${quoted(address)} \\\n  -H 'Content-Type: application/json' \\\n  -d ${body}`;
}

/** A Python program that asks for one row. */
export function python(address, row) {
    const values = Object.entries(row).map(([name, value]) => `    ${json(name)}: ${literal(value)},\n`);
    return (
        `import requests\n\nrow = {\n${values.join("")}}\n` +
        `reply = requests.post(${json(address)}, json={"instances": [row]}, timeout=10)\nprint(reply.json())\n`
    );
}

/** JSON in which nothing is invisible: control and formatting characters are escaped. */
export function json(value) {
    return JSON.stringify(value).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (sign) =>
        sign.length > 1 ? sign : `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`,
    );
}

/** A program that can be read, scrolled and copied. */
export function copyable(language) {
    const code = element("code", {});
    const said = element("span", { role: "status", class: "soft" });
    const button = element("button", { type: "button", class: "plain" }, `Copy ${language}`);
    button.addEventListener("click", async () => { said.textContent = await copy(code); });
    const shown = element("pre", { tabindex: 0, role: "region", "aria-label": language }, code);
    return { element: element("div", { class: "code" }, element("p", {}, button, " ", said), shown), code };
}

function quoted(text) {
    return `'${text.replaceAll("'", `'"'"'`)}'`;
}

function literal(value) {
    // JSON's texts and numbers are Python's too.
    return { true: "True", false: "False", null: "None" }[json(value)] ?? json(value);
}

async function copy(code) {
    try {
        await navigator.clipboard.writeText(code.textContent);
        return "Copied.";
    } catch {
        // Browsers give the clipboard only to pages of this machine or over HTTPS.
        getSelection().selectAllChildren(code);
        return "Selected: copy it with Ctrl+C.";
    }
}
