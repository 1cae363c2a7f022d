"""A headless Chromium, driven over the WebDriver protocol with the standard library alone."""

import base64
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1200,1500",
)  # fmt: skip
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key that the protocol gives to elements
WAIT_SECONDS = 60.0  # a machine may be busy; nothing here takes longer than a second by itself


class Browser:
    """One window of one browser with a profile of its own.

    Example:

    ```python
    with Browser(tmp_path) as browser:
        browser.open("http://127.0.0.1:7860/")
        browser.click("#go")
    ```
    """

    def __init__(self, profile: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        environment = {**os.environ, "no_proxy": "*"}
        self.driver = subprocess.Popen(
            [CHROMEDRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        )
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            self.wait_for(lambda: self._call("GET", "/status")["ready"])
            options = {"binary": CHROMIUM, "args": [*ARGUMENTS, f"--user-data-dir={profile}"]}
            wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
        except BaseException:
            self.driver.kill()
            raise
        self.address += f"/session/{session}"

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_) -> None:
        try:
            self._call("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait(timeout=WAIT_SECONDS)

    def _call(self, method: str, path: str, values: dict | None = None):
        data = None if method != "POST" else json.dumps(values or {}).encode()
        request = urllib.request.Request(
            self.address + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with self.opener.open(request, timeout=60) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None

    def open(self, url: str) -> None:
        self._call("POST", "/url", {"url": url})

    def find(self, selector: str) -> str:
        return self._call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector: str) -> None:
        self._call("POST", f"/element/{self.find(selector)}/click")

    def type(self, selector: str, text: str) -> None:
        """Types text; into a file input, the paths of the files, one a line."""
        self._call("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def run(self, script: str, *arguments):
        """The value of a script's `return`."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait_until(self, condition: str) -> None:
        """Returns when a JavaScript expression is true."""
        self.wait_for(lambda: self.run(f"return Boolean({condition})"), condition)

    def wait_for(self, condition, what: str = "the browser"):
        ends = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                if condition():
                    return
            except OSError:  # the driver is not listening yet
                pass
            if time.monotonic() > ends:
                raise AssertionError(f"waited {WAIT_SECONDS:.0f} s in vain for {what}")
            time.sleep(0.05)

    def screenshot(self, path: Path) -> Path:
        path.write_bytes(base64.b64decode(self._call("GET", "/screenshot")))
        return path

    def errors(self) -> list[str]:
        """What the console complained about since the last call."""
        entries = self._call("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]
