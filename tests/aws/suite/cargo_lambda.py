"""The paragraph about cargo lambda in docs/local.md: functions under `cargo lambda watch`, on the local server's sessions."""

import http.client
import json
import re
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from processes import ROOT, Started, free_port, listens, run

# Compiling from nothing takes its time.
PATIENCE = 1800


def paragraph():
    """Its three commands."""
    text = (ROOT / "docs/local.md").read_text()
    (commands,) = re.findall(r"## The functions under cargo lambda\n.*?```sh\n(.*?)```", text, re.DOTALL)
    lines = [line.split() for line in commands.strip().splitlines()]
    assert len(lines) == 3, lines
    return lines


def main():
    serve, watch, invoke = paragraph()
    with tempfile.TemporaryDirectory(prefix="latchkey-cargo-lambda-") as folder:
        folder = Path(folder)
        api, dynamodb, functions = free_port(), free_port(), free_port()
        # The same commands and variables, but for the ports and the place of the data.
        moved = {"9001": str(api), "8000": str(dynamodb), ".latchkey": str(folder / "data")}

        def move(text):
            return re.sub(r"(?<=:)(9001|8000)\b|\.latchkey\b(?=/)", lambda match: moved[match[0]], text)

        environment = folder / "lambda.env"
        environment.write_text(move((ROOT / "local/examples/lambda.env").read_text()))
        serve = [move(part) for part in serve] + ["--data", folder / "data"]
        watch = [environment if part.endswith("lambda.env") else part for part in watch]
        # A function is compiled by its first invocation, which waits for it.
        watch += ["--ignore-changes", "--invoke-port", functions, "--timeout", PATIENCE]
        with Started(serve, folder / "serve.log") as server, Started(watch, folder / "watch.log") as watcher:
            server.wait_for(lambda: "listening on " in server.log.read_text(), PATIENCE)
            watcher.wait_for(lambda: listens(functions), PATIENCE)

            def call(function, file):
                command = [function if part == "issue" else part for part in invoke]
                command = [file if part.endswith(".json") else part for part in command]
                output = run(*command, "--invoke-port", functions)
                answer = json.loads(output[output.index("{") :])
                return answer["statusCode"], json.loads(answer["body"])

            status, issued = call("issue", invoke[-1])
            assert status == 200, issued
            renewal = json.loads((ROOT / "events/renew-confidential-json.json").read_text())
            for token in ("refresh_token", "access_token"):
                renewal["body"] = renewal["body"].replace("{{" + token + "}}", issued[token])
            event = folder / "renew.json"
            event.write_text(json.dumps(renewal))
            status, renewed = call("renew", event)
            assert status == 200 and renewed["refresh_token"] != issued["refresh_token"], renewed
            status, retried = call("renew", event)
            assert status == 200 and retried["refresh_token"] == renewed["refresh_token"], retried

            # The local server goes on with the same session.
            form = {name: renewed[name] for name in ("refresh_token", "access_token")}
            form |= {"client_id": "librechat", "client_secret": "example-client-secret"}
            connection = http.client.HTTPConnection("127.0.0.1", api, timeout=30)
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            connection.request("POST", "/token/renew", urlencode(form), headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            assert answer.status == 200, text
    print("cargo lambda: issue, renew, retry, and on the same session the local server: as docs/local.md says")


if __name__ == "__main__":
    main()
