/* Memory over the last ten minutes, against what was planned. Colours are the style sheet's; a table-like sentence says the same to those
 * who don't see it. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { bytes, language, t } from "../lib/words.js";
import { isDark } from "../state/view.js";
import { html } from "./html.js";

const HEIGHT = 220;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function ago(seconds) {
    const s = Math.round(seconds);
    return s === 0 ? t("now") : s % 60 === 0 ? t("unit_min", { m: -s / 60 }) : t("unit_s", { s: -s });
}

function options(width) {
    const axis = { stroke: colour("--ink-2"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px Geist Variable, system-ui" };
    return { width, height: HEIGHT, legend: { show: false }, cursor: { y: false, points: { size: 7 } }, padding: [12, 24, 0, 0],
        scales: { x: { time: false }, y: { range: (_, low, high) => [0, Math.max(high, 1e6) * 1.15] } },
        axes: [{ ...axis, values: (_, ticks) => ticks.map(ago), space: 80, incrs: [1, 5, 10, 30, 60, 120, 300] }, { ...axis, size: 64, values: (_, ticks) => ticks.map(bytes), space: 44 }],
        series: [{}, { stroke: colour("--accent"), width: 2, points: { show: false }, fill: colour("--accent-soft"), paths: uPlot.paths.linear() },
            { stroke: colour("--ink-2"), width: 1.5, dash: [5, 4], points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) }] };
}

export function Chart({ samples }) {
    const place = useRef(), plot = useRef(), dark = isDark(), words = language.value;
    const data = () => {
        const last = samples.at(-1)?.t ?? 0;
        return [samples.map((s) => s.t - last), samples.map((s) => s.own_bytes), samples.map((s) => s.planned_bytes || null)];
    };
    useEffect(() => {
        const make = () => {
            plot.current?.destroy();
            plot.current = new uPlot(options(place.current.clientWidth), data(), place.current);
        };
        make();
        const watch = new ResizeObserver(([e]) => {
            if (plot.current.width !== Math.floor(e.contentRect.width)) plot.current.setSize({ width: Math.floor(e.contentRect.width), height: HEIGHT });
        });
        watch.observe(place.current);
        return () => { watch.disconnect(); plot.current.destroy(); };
    }, [dark, words]);
    useEffect(() => { plot.current?.setData(data()); }, [samples]);
    const now = samples.at(-1);
    return html`<div class="chart" ref=${place} role="img" aria-label=${now ? t("chart_says", { own: bytes(now.own_bytes), planned: bytes(now.planned_bytes),
        most: bytes(samples.reduce((m, s) => Math.max(m, s.own_bytes), 0)) }) : t("chart_empty")}></div>`;
}
