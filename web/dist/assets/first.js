try{let e=localStorage.getItem("mebi.theme");(e==='"dark"'||e==='"light"')&&(document.documentElement.dataset.theme=JSON.parse(e))}catch{}
