/** Questions to the service, and its refusals. */

/** What the service refused, with its status and, for rows, the problems `{row, field, value, reason}`. */
export class Refusal extends Error {
    constructor(status, document) {
        super((document.detail ?? `the service answered ${status}`).replace(/\.$/, ""));
        this.status = status;
        this.problems = document.errors ?? [];
    }
}

/** Return the JSON that an address answers: to GET, or to POST where there is a body. */
export async function ask(address, body, { type = "application/json", signal } = {}) {
    const headers = { Accept: "application/json", ...(body === undefined ? {} : { "Content-Type": type }) };
    const reply = await answered(address, { method: body === undefined ? "GET" : "POST", headers, body, signal });
    const document = await reply.json().catch(() => ({}));
    if (!reply.ok) throw new Refusal(reply.status, document);
    return document;
}

async function answered(address, request) {
    try {
        return await fetch(address, request);
    } catch (error) {
        if (error.name === "AbortError") throw error;
        throw new Refusal(0, { detail: "the service does not answer: is it still running?" });
    }
}
