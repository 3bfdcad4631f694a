/* The reports of `mebi doctor` and `mebi bench`, as pages. */
import { bytes, seconds, size as sizeWords, t, told } from "../lib/words.js";
import { Icon, html } from "./html.js";

const ORDER = { fail: 0, warn: 1, ok: 2 };

function Line({ check: c }) {
    return html`<li class=${`check ${c.verdict}`}><span class="verdict">${t(`verdict_${c.verdict}`)}</span><div><p><strong>${c.check}</strong> ${c.measured}</p>
        ${c.expected && c.verdict !== "ok" && html`<p class="hint">${t("expected", { what: c.expected })}</p>`}${c.advice && html`<p class="advice">${c.advice}</p>`}</div></li>`;
}

export function Doctor({ report: r }) {
    const sections = [...new Set(r.checks.map((c) => c.section))];
    const by = (section) => r.checks.filter((c) => c.section === section).sort((a, b) => ORDER[a.verdict] - ORDER[b.verdict]);
    return html`<div class="report"><p class=${`report-verdict ${r.verdict}`}><strong>${t(`doctor_${r.verdict}`)}</strong> ${t("doctor_counts", r)}</p>
        ${sections.map((s) => {
            const lines = by(s), bad = lines.filter((c) => c.verdict !== "ok"), good = lines.slice(bad.length);
            const list = (some) => html`<ul class="checks">${some.map((c) => html`<${Line} key=${c.check} check=${c} />`)}</ul>`;
            return html`<details key=${s} class="fold" open=${bad.length > 0}><summary><${Icon} name="more" />${t(`section_${s}`)}<span class="aside">${bad.length ? t("n_of", { n: bad.length, all: lines.length }) : t("all_well")}</span></summary>
                ${bad.length ? html`${list(bad)}${good.length > 0 && html`<details class="fold inner"><summary><${Icon} name="more" />${t("n_well", { n: good.length })}</summary>${list(good)}</details>`}` : list(good)}</details>`;
        })}</div>`;
}

function Row({ s }) {
    return html`<tr class=${s.sweet_spot ? "sweet" : ""}><th scope="row">${sizeWords(s.width, s.height)}${s.sweet_spot && html` <span class="badge">${t("sweet_spot")}</span>`}</th>
        <td>${seconds(s.seconds)}</td><td>${bytes(s.peak_bytes)}</td><td>${Math.round(s.detail)}</td><td>${s.sharpness.toFixed(2)}</td><td>${s.repeated}/${s.pictures}</td><td>${s.cut}/${s.pictures}</td><td>${s.blotched}/${s.pictures}</td></tr>`;
}

/** The server's sentence, behind the size unless that stands in it. */
function Sweet({ s }) {
    const why = told(s.why);
    return html`${!why.includes(`${s.width}x${s.height}`) && html`<strong>${sizeWords(s.width, s.height)}</strong> `}${why}`;
}

export function Bench({ report: r, id }) {
    const heads = ["size", "time", "memory", "detail", "sharpness", "repeated", "cut_off", "blotched"];
    return html`<div class="report">${r.sweet_spot && html`<p class="report-verdict ok"><${Sweet} s=${r.sweet_spot} /></p>`}
        <div class="table-scroll" tabindex="0" role="region" aria-label=${t("bench_table")}><table class="figures"><thead><tr>${heads.map((k) => html`<th key=${k} scope="col">${t(k)}</th>`)}</tr></thead>
            <tbody>${r.sizes.map((s) => html`<${Row} key=${`${s.width}x${s.height}`} s=${s} />`)}</tbody></table></div>
        <p><a href=${`/api/v1/checks/${id}/html`} target="_blank" rel="noopener">${t("whole_report")}</a></p></div>`;
}
