"""A server with a port, a data folder and settings of its own."""
import contextlib
import os
import pathlib
import socket
import subprocess
import tempfile
import time
import urllib.request


@contextlib.contextmanager
def server(mebi, model, *options):
    """Its address and its process."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "config.yaml")
        config.touch()
        process = subprocess.Popen([mebi, "serve", "-m", model, "--port", str(port), "--data", folder, "--log", "none",
                                    *options], env={**os.environ, "MEBI_CONFIG": str(config)})
        url = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                with contextlib.suppress(OSError):
                    if urllib.request.urlopen(url + "/healthz").status == 200:
                        break
                if process.poll() is not None:
                    raise RuntimeError(f"the server ended with code {process.returncode}")
                time.sleep(0.1)
            else:
                raise RuntimeError("the server never came to be ready")
            yield url, process
        finally:
            process.terminate()
            process.wait(120)
