"""The routes of the document, of the local server and of the deployment are the same."""

import re

from contract import documented
from server import ROOT

# The playground's, for people with a browser.
NOT_THE_API = set()


def check():
    in_document = documented()
    local = {path for _, path in in_document}
    deployed = {f"{method} {path}" for (method, path), is_local in in_document.items() if not is_local}

    template = (ROOT / "template.yaml").read_text()
    in_template = set(re.findall(r'^ +RouteKey: "?([A-Z]+ [^"\n]+?)"?$', template, re.MULTILINE))
    assert in_template == deployed, f"template.yaml and document differ: {sorted(in_template ^ deployed)}"

    served = literals("local/src/serve/http.rs")
    # Two kinds of paths have a handler that knows the rest.
    served.remove("/sessions/")
    served.add("/sessions/{session_id}")
    served.remove("/.well-known/")
    served |= {path for path in literals("functions/discovery/src/lib.rs")}
    served -= NOT_THE_API
    assert served == local, f"http.rs and document differ: {sorted(served ^ local)}"
    print(f"   {len(in_template)} routes of template.yaml, {len(served)} paths of the local server: all documented, and no others")


def literals(file):
    code = (ROOT / file).read_text().split("#[cfg(test)]")[0]
    code = re.sub(r"^\s*//.*$", "", code, flags=re.MULTILINE)
    return {text for text in re.findall(r'"(/[^"\s]*)"', code) if text != "/"}
