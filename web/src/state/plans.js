/* What the request will take: one round for the request itself, the same with guidance the other way, and every size that is offered.
 * Asked again a moment after anything changed; older answers never overwrite newer ones. */
import { computed, effect, signal } from "@preact/signals";
import { call } from "../lib/api.js";
import { key } from "../lib/sizes.js";
import { cfg, choices, shape } from "./form.js";
import { system } from "./server.js";

const WAIT_MS = 180, OTHER_CFG = 3;

export const plan = signal(null); /* of the request */
export const otherPlan = signal(null); /* with guidance if it has none, without if it has */
export const bySize = signal({}); /* of the offered sizes */
export const planning = signal(false);
let timer = null, running = null;

async function ask(asked) {
    running?.abort();
    const mine = running = new AbortController();
    planning.value = true;
    try {
        const { plans } = await call("/plans", { body: { requests: asked }, signal: mine.signal });
        const [own, other, ...sizes] = plans;
        plan.value = own?.error ? null : own;
        otherPlan.value = other?.error ? null : other;
        bySize.value = Object.fromEntries(sizes.map((p, i) => [key(asked[i + 2]), p]).filter(([, p]) => p && !p.error));
    } catch { /* the banner tells; the next change asks again */ } finally {
        if (running === mine) planning.value = false;
    }
}

/* The budget is part of the question: when another program takes memory the answer is another. */
const budget = computed(() => Math.round((system.value?.memory.budget_bytes ?? 0) / 5e7));

export function watchPlans() {
    return effect(() => {
        if (!system.value?.model || budget.value < 0) return;
        const asked = [shape(), shape({ cfg: cfg.value > 0 ? 0 : OTHER_CFG }),
            ...choices.value.map((c) => shape({ width: c.width, height: c.height }))];
        clearTimeout(timer);
        timer = setTimeout(ask, WAIT_MS, asked);
    });
}

export const tooBig = computed(() => plan.value?.verdict === "too_big");
