/* Runs before the first paint, so that a chosen theme never flashes. Nothing else belongs here. */
try {
    const theme = localStorage.getItem("mebi.theme");
    if (theme === '"dark"' || theme === '"light"') document.documentElement.dataset.theme = JSON.parse(theme);
} catch { /* storage may be forbidden: the system's theme it is */ }
