"""docs/openapi.yaml and the local server, held against each other."""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from openapi_spec_validator import validate

from callers import Callers
from contract import METHODS, documented, documented_errors, load
from directed import JWT_BEARER, TOKEN_EXCHANGE
from server import DOCUMENT, Registrations, Server, write_private
from sign_in import DirectedSignIn

SUITE = Path(__file__).resolve().parent
LEAST_CASES = 2000
# Issue, and everything that the document's links lead to from there.
CHAINED = {"POST /token", "POST /token/renew", "POST /token/revoke", "POST /token/introspect", "DELETE /sessions/{session_id}"}
# What a client's token endpoint does; no grant type is a renewal.
GRANTS = {"", "refresh_token", "authorization_code", TOKEN_EXCHANGE, JWT_BEARER}
# Locally the keys are those that the server has started with; on AWS they are a secret that may be out of reach. These need no table.
NOT_HERE = {("GET " + path, 503) for path in load()["paths"] if path.startswith("/.well-known/")}
NOT_HERE |= {(f"POST /authorize/{name}", 503) for name in ("inspect", "reject")}
NOT_HERE |= {(label, 503) for label in ("GET /authorize", "POST /authorize", "GET /authorize/return", "POST /register")}

# The registration would have to change between the begin of a sign-in and its acceptance: shared/token/tests/sign_in does that.
ERRORS_NOT_HERE = {("POST /authorize/accept", "invalid_target")}


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("latchkey", type=Path, help="the command to test")
    options.add_argument("--max-examples", type=int, default=150, help="for each operation when fuzzing (%(default)s)")
    options = options.parse_args()

    stage("the document is OpenAPI 3.1")
    validate(load())

    with tempfile.TemporaryDirectory(prefix="latchkey-openapi-") as folder:
        run(Path(folder), options)


def run(folder, options):
    registrations = Registrations()
    clients = write_private(folder / "clients.json", registrations.document())
    keys = folder / "keys.json"
    for algorithm in ("RS256", "ES256", "EdDSA"):
        command = [options.latchkey, "keys", "generate", "--alg", algorithm, "--file", keys]
        subprocess.run(command, check=True, capture_output=True)
    files = ["--keys", keys, "--clients", clients]
    seen = set()

    with Server(options.latchkey, folder, "server", *files, env={"LATCHKEY_DYNAMIC_CLIENTS": "true"}) as server:
        callers = Callers(server.url, **registrations.parties())
        stage("requests whose answers are known")
        directed = DirectedSignIn(callers, seen)
        directed.run()
        unavailable(folder, options, files, registrations, directed)
        print(f"   {directed.count} requests")
        stage("schemathesis")
        cases = schemathesis(folder, options, server, registrations)

    stage("nothing in the logs that must not be there")
    silence(folder, registrations)
    seen |= {(case["operation"], case["status"]) for case in cases if not case["is_probe"]}
    report(cases)
    assert len(cases) >= LEAST_CASES, f"{len(cases)} cases only"
    in_chains = {case["operation"] for case in cases if case["phase"] == "stateful" and case["status"] == 200}
    assert in_chains == CHAINED, f"chains: {sorted(in_chains ^ CHAINED)}"
    granted = {case["grant_type"] for case in cases if case["operation"] == "POST /token/renew" and case["status"] == 200}
    assert granted == GRANTS, f"grants: {sorted(granted ^ GRANTS)}"
    assert any(case["operation"].startswith("TRACE ") and case["status"] == 405 for case in cases), "no TRACE"
    stage("every documented status and error has been seen")
    every_status(seen, directed.errors | {(case["operation"], case["error"]) for case in cases})


def unavailable(folder, options, files, registrations, directed):
    """A server whose table is another server's, which stops."""
    port = free_port()
    table = Server(options.latchkey, folder, "table", *files, "--dynamodb-listen", f"127.0.0.1:{port}")
    aws = {"AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{port}", "AWS_REGION": "local"}
    aws |= {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
    # An issuer with a path besides, as behind a stage.
    aws |= {"LATCHKEY_ISSUER": "https://id.example.org/prod"}
    with table, Server(options.latchkey, folder, "without-table", *files, env=aws) as server:
        callers = Callers(server.url, **registrations.parties())
        tokens, ticket = callers.issue("librechat"), callers.begin("librechat").ticket
        directed.metadata_of_a_path(server.url)
        table.stop()
        directed.unavailable(server.url, tokens, ticket)


def schemathesis(folder, options, server, registrations):
    """Every case that it has sent, or the end of the suite if it has found something."""
    seen = folder / "seen.jsonl"
    settings = {"url": server.url, "seen": str(seen), **registrations.parties()}
    environment = os.environ | {
        "OPENAPI_SUITE": str(write_private(folder / "suite.json", settings)),
        "SCHEMATHESIS_HOOKS": "hooks",
        "PYTHONPATH": str(SUITE),
    }
    command = [Path(sys.executable).with_name("schemathesis"), "--config-file", SUITE.parent / "schemathesis.toml", "run"]
    command += [DOCUMENT, "--url", server.url, "--max-examples", options.max_examples, "--continue-on-failure"]
    done = subprocess.run([str(part) for part in command], env=environment, cwd=folder)
    if done.returncode != 0:
        raise SystemExit("schemathesis has found what it shows above")
    return [json.loads(line) for line in seen.read_text().splitlines()]


def report(cases):
    print(f"   {len(cases)} cases")
    for what in ("phase", "mode", "status"):
        counts = Counter(case[what] for case in cases)
        print(f"   by {what}: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))


def silence(folder, registrations):
    secrets = [*registrations.issuers.values(), *registrations.clients.values(), registrations.assertion_secret]
    for log in folder.glob("*.log"):
        # The id of a client that has registered itself is no secret, and long enough to hold what looks like one.
        text = re.sub(r"lkd1_[A-Za-z0-9_-]+", "", log.read_text())
        assert "token_issued" in text or log.name == "table.log", f"{log.name} has no audit lines"
        # Refresh tokens, tickets, answers, codes; JWTs; cookies.
        tokens = r"lk[tac]?1_[A-Za-z0-9_-]{8}|eyJ[A-Za-z0-9_-]{8}|latchkey-sign-in=[A-Za-z0-9_-]{8}"
        found = re.findall(tokens, text) + [one for one in secrets if one in text]
        assert not found, f"{log.name}: {len(found)} tokens or secrets"


def every_status(seen, errors):
    """What is documented, and not API Gateway's own, has been answered at least once."""
    document = load()
    missing, count = [], 0
    for path, item in document["paths"].items():
        for method in set(item) & set(METHODS):
            label = f"{method.upper()} {path}"
            for status, response in item[method]["responses"].items():
                name = response.get("$ref", "").removeprefix("#/components/responses/")
                if "x-answered-by" in document["components"]["responses"].get(name, {}):
                    continue
                if (label, int(status)) in seen:
                    count += 1
                    missing += [f"{label}: {error}" for _, error in documented_errors(label, response) - errors - ERRORS_NOT_HERE]
                elif (label, int(status)) not in NOT_HERE:
                    missing.append(f"{label}: {status}")
    assert not missing, f"documented, never seen: {missing}"
    seen_after_all = NOT_HERE & seen | ERRORS_NOT_HERE & errors
    assert not seen_after_all, f"seen after all: {seen_after_all}"
    print(f"   {count} statuses of {len(documented())} operations")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def stage(name):
    print(f"== {name}", flush=True)


if __name__ == "__main__":
    main()
