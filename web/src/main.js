/* The page. It begins with who may look, then what the server is, then what it is doing; from there it follows events. */
import { render } from "preact";
import { useEffect } from "preact/hooks";
import { connected, session } from "./lib/api.js";
import { percent, t } from "./lib/words.js";
import { lookAtChecks } from "./state/checks.js";
import { gallery, loadGallery, lookAtRecent, recent, shown, total } from "./state/images.js";
import { running, watchJobs } from "./state/jobs.js";
import { watchPlans } from "./state/plans.js";
import { lookAtSession, lookAtSystem } from "./state/server.js";
import { page } from "./state/view.js";
import { About } from "./pages/about.js";
import { Create } from "./pages/create.js";
import { Gallery } from "./pages/gallery.js";
import { Login } from "./pages/login.js";
import { Machine } from "./pages/machine.js";
import { Settings } from "./pages/settings.js";
import { Drop } from "./ui/drop.js";
import { Banner, Header, Notes } from "./ui/header.js";
import { html } from "./ui/html.js";
import { Dialogs } from "./ui/viewer.js";

const RETRY_MS = 2000, SYSTEM_MS = 15000;
const BODIES = { create: Create, gallery: Gallery, machine: Machine, settings: Settings, about: About };

/* A picture in a dialog is the one in the lists, with all that happened to it since. */
const live = (image) => gallery.value.find((i) => i.id === image.id) ?? recent.value.find((i) => i.id === image.id) ?? image;

function Inside() {
    useEffect(() => {
        const ends = [watchPlans(), watchJobs(() => { lookAtRecent(); lookAtChecks().catch(() => {}); if (total.value !== null && page.value === "gallery") loadGallery(); })];
        const timer = setInterval(() => { if (!document.hidden && connected.value && page.value === "create") lookAtSystem().catch(() => {}); }, SYSTEM_MS);
        return () => { ends.forEach((end) => end()); clearInterval(timer); };
    }, []);
    const body = BODIES[page.value], job = running.value;
    useEffect(() => {
        document.title = job ? `${percent(job.progress.fraction)} · mebi` : page.value === "create" ? "mebi" : `${t(`page_${page.value}`)} · mebi`;
    });
    return html`<${Header} /><${Banner} /><main id="main" tabindex="-1" class=${`main at-${page.value}`}><${body} key=${page.value} /></main><${Dialogs} live=${live} /><${Drop} />`;
}

function App() {
    if (session.value === "unknown") return html`<${Banner} />`;
    return html`${session.value === "needed" ? html`<${Login} />` : html`<${Inside} />`}<${Notes} />`;
}

async function begin() {
    try {
        await lookAtSession();
        connected.value = true;
    } catch {
        connected.value = false;
        setTimeout(begin, RETRY_MS);
    }
}

shown.value = null;
render(html`<${App} />`, document.getElementById("app"));
begin();
