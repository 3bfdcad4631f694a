/* What the server is: version, model, device, memory. Looked at again now and then, and after each new connection. */
import { signal } from "@preact/signals";
import { call, session } from "../lib/api.js";

export const system = signal(null);

export async function lookAtSystem() {
    system.value = await call("/system");
}

export async function lookAtSession() {
    session.value = (await call("/session")).login;
}

export async function login(token) {
    session.value = (await call("/session", { body: { token } })).login;
}

export async function logout() {
    session.value = (await call("/session", { method: "DELETE" })).login;
}
