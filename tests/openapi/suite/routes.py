"""The routes of the document, of the local server and of the deployment are the same."""

import re

from contract import documented
from server import ROOT

# The playground's, for people with a browser; no part of the API.
NOT_THE_API = {
    "/",
    "/demo/playground.js",
    "/demo/playground.css",
    "/demo/playground.svg",
    "/demo/credentials",
    "/demo/events",
}


def check():
    in_document = documented()
    local = {path for _, path in in_document}
    deployed = {f"{method} {path}" for (method, path), is_local in in_document.items() if not is_local}

    template = (ROOT / "template.yaml").read_text()
    in_template = set(re.findall(r'^ +RouteKey: "?([A-Z]+ [^"\n]+?)"?$', template, re.MULTILINE))
    assert in_template == deployed, f"template.yaml and document differ: {sorted(in_template ^ deployed)}"

    served = literals("local/src/serve/http.rs") | literals("local/src/serve/playground/mod.rs")
    # Two kinds of paths have a handler that knows the rest.
    served.remove("/sessions/")
    served.add("/sessions/{session_id}")
    served.remove("/.well-known/")
    served |= literals("functions/discovery/src/lib.rs")
    assert NOT_THE_API <= served, f"no longer there: {sorted(NOT_THE_API - served)}"
    served -= NOT_THE_API
    assert served == local, f"local server and document differ: {sorted(served ^ local)}"
    print(f"   {len(in_template)} routes of template.yaml, {len(served)} paths of the local server: all documented, and no others")


def literals(file):
    code = (ROOT / file).read_text().split("#[cfg(test)]")[0]
    code = re.sub(r"^\s*//.*$", "", code, flags=re.MULTILINE)
    return set(re.findall(r'"(/[^"\s\\]*)"', code))
