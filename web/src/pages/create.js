/* Making pictures. On a phone the picture stands above the form once there is one; the order of the markup is what is seen. */
import { t } from "../lib/words.js";
import { shown } from "../state/images.js";
import { current } from "../state/jobs.js";
import { narrow } from "../state/view.js";
import { Dock } from "../ui/dock.js";
import { Form } from "../ui/form.js";
import { html } from "../ui/html.js";
import { Stage } from "../ui/stage.js";

export function Create() {
    const first = narrow.value && (shown.value || current.value);
    const form = html`<${Form} key="form"><${Dock} /></${Form}>`, stage = html`<${Stage} key="stage" />`;
    return html`<div class="create"><h1 class="sr">${t("page_create")}</h1>${first ? [stage, form] : [form, stage]}</div>`;
}
