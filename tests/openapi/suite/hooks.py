"""What schemathesis cannot know: whose credentials a request needs, and tokens that are good.

Loaded by schemathesis. Values that it has made invalid on purpose stay as they are.
"""

import json
import os
import random

import schemathesis
from schemathesis.generation.meta import CoverageScenario, coverage_scenario

from callers import Callers, client_of
from contract import check_no_null, check_probe
from server import AFTERWARDS, AUDIENCE, BACK, REGISTERED, SCOPES, SIGN_IN, SIGN_OUT, TOOLS

with open(os.environ["OPENAPI_SUITE"]) as file:
    SUITE = json.load(file)
CALLERS = Callers(SUITE["url"], SUITE["issuers"], SUITE["assertion_secret"], SUITE["clients"], SUITE["kinds"])
# Those of whom schemathesis may expect success: "keyless" has no key, "early" must wait, "plain" has no scopes, "tools" is a target.
CLIENTS = {name: kind for name, kind in CALLERS.kinds.items() if name not in ("early", "keyless", "plain", "tools")}
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
# Every refresh token and access token that was handed out, and what it came with.
ISSUED = {}
# Every ticket, answer and code that before_call has put in, and the client's own parts of the exchange.
SIGN_INS = set()
# Those who may sign in, and where to; one of them without PKCE.
CALLBACKS = {name: kind["redirect_uris"][0] for name, kind in CLIENTS.items() if "redirect_uris" in kind}
SEEN = open(SUITE["seen"], "a", buffering=1)


def remember(tokens):
    """The answer to an exchange has no refresh token."""
    for name in {"refresh_token", "access_token"} & tokens.keys():
        ISSUED[tokens[name]] = tokens
    return tokens


class Choice(random.Random):
    """Random, but always the same for the same case, tokens apart: schemathesis repeats cases, and compares."""

    def __init__(self, case):
        body = case.body
        if isinstance(body, dict):
            body = masked(body)
        super().__init__(f"{case.method} {case.path} {masked(case.query or {})} {case.media_type} {body}")


def masked(members):
    return {
        name: "token" if is_text(value) and (value in ISSUED or value in SIGN_INS) else value for name, value in members.items()
    }


def is_text(value):
    return isinstance(value, str) and value != ""


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Narrows requests to what this server has registered: what the document can only describe in words."""
    schemas = raw_schema["components"]["schemas"]
    issue = schemas["IssueMembers"]
    # before_call names one. What needs an id that no operation gives is no beginning of a chain for schemathesis.
    del issue["properties"]["client_id"]
    # Credentials beside an assertion are checked; made-up ones are wrong.
    for name in ("issuer_id", "issuer_secret", "client_secret", "client_assertion", "client_assertion_type"):
        del schemas["Assertion"]["properties"][name]
    issue["properties"]["scope"] = {"enum": ["", "openid", "openid email", " ".join(SCOPES)]}
    claims = {"email": "alice@example.org"}
    schemas["IssueRequest"]["oneOf"][0]["properties"]["claims"] = {"enum": [{}, claims, claims | {"name": ["A", {"b": 1.5}, True]}]}
    schemas["IssueForm"]["oneOf"][0]["properties"]["claims"] = {"enum": ["", "{}", json.dumps(claims)]}
    # Credentials are before_call's business.
    for name in ("IssuerCredentials", "ClientCredentials"):
        schemas[name] = {"type": "object"}
    # In any order, any of them several times.
    one = {"enum": ["", *AUDIENCE]}
    schemas["Resources"] = {"oneOf": [one, {"type": "array", "items": one}]}
    # So many that an authorization request has room for them.
    schemas["ResourceList"] = {"type": "array", "items": one, "maxItems": 4}
    schemas["Targets"] = {"enum": ["", [], TOOLS, [TOOLS], [TOOLS, TOOLS]]}
    schemas["ExchangeMembers"]["properties"]["scope"] = {"enum": ["", "tools", "read tools"]}
    register = raw_schema["paths"]["/register"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    register["properties"]["redirect_uris"]["items"] = {"enum": REGISTERED}
    sign_in(raw_schema)
    parameters = raw_schema["paths"]["/sessions"]["parameters"]
    next(one for one in parameters if one["name"] == "client_id")["schema"] = {"enum": ["", *CALLERS.kinds]}
    # What has no value counts as left out.
    for parameter in raw_schema["paths"]["/sessions"]["get"]["parameters"]:
        parameter["schema"] = {"anyOf": [{"const": ""}, parameter["schema"]]}


def sign_in(raw_schema):
    """before_call says for whom. All parameters together have 4 KiB: free text is short."""
    paths, schemas = raw_schema["paths"], raw_schema["components"]["schemas"]
    form = schemas["AuthorizeForm"]["properties"]
    for parameter in paths["/authorize"]["get"]["parameters"]:
        short = {"type": "string", "maxLength": 32}
        narrowed = {
            "client_id": {"enum": list(CALLBACKS)},
            "redirect_uri": {"const": BACK},
            "scope": {"enum": ["", "openid", "openid email agents"]},
            **{name: short for name in ("state", "nonce", "prompt", "login_hint", "ui_locales", "acr_values")},
        }
        name = parameter["name"]
        parameter["schema"] = form[name] = narrowed.get(name, parameter["schema"])
    schemas["AcceptMembers"]["properties"]["scope"] = {"enum": ["", "openid", "openid email"]}
    claims = {"email": "alice@example.org", "shoe_size": 38}
    schemas["AcceptRequest"]["properties"]["claims"] = {"enum": [{}, claims]}
    schemas["AcceptForm"]["properties"]["claims"] = {"enum": ["", "{}", json.dumps(claims)]}
    # Not in the future.
    schemas["AcceptRequest"]["properties"]["auth_time"] = {"enum": [0, 1_790_000_000]}
    schemas["AcceptForm"]["properties"]["auth_time"] = {"enum": ["", "0", "1790000000"]}
    form = schemas["SignOutForm"]["properties"]
    for parameter in paths["/sign-out"]["get"]["parameters"]:
        narrowed = {
            "client_id": {"enum": ["", "librechat"]},
            "post_logout_redirect_uri": {"enum": ["", AFTERWARDS, BACK]},
            "state": {"type": "string", "maxLength": 32, "pattern": "^[ -~]*$"},
        }
        name = parameter["name"]
        parameter["schema"] = form[name] = narrowed.get(name, parameter["schema"])


@schemathesis.auth().apply_to(path=["/sessions", "/sessions/{session_id}"])
class IssuerAuth:
    def get(self, case, context):
        return CALLERS.issuer()

    def set(self, case, data, context):
        case.headers["Authorization"] = data


@schemathesis.auth().apply_to(path=["/demo/me", "/userinfo"], method="GET")
class BearerAuth:
    def get(self, case, context):
        return "Bearer " + remember(CALLERS.issue("librechat"))["access_token"]

    def set(self, case, data, context):
        case.headers["Authorization"] = data


@schemathesis.hook
def before_call(context, case, kwargs):
    body = None
    if isinstance(case.body, dict):
        # A copy: schemathesis may use the same one again.
        body = case.body = dict(case.body)
    choice = Choice(case)
    match case.path:
        case "/token":
            issue(case, body, choice)
        case "/token/renew":
            renew(case, body, choice)
        case "/token/revoke" | "/token/introspect":
            about_a_token(case, body, choice)
        case "/authorize":
            begin(case, case.query if case.method == "GET" else body, choice)
        case "/authorize/inspect" | "/authorize/accept" | "/authorize/reject":
            issuer_answers(case, body, choice)
        case "/authorize/return":
            come_back(case)
        case "/userinfo" if case.method == "POST":
            userinfo(case, body)
        case "/sign-out":
            if case.method == "GET":
                case.query = dict(case.query or {})
            sign_out(case.query if case.method == "GET" else body)
        case "/sessions":
            case.query = dict(case.query or {})
            if is_text(case.query.get("subject")):
                cut_to_bytes(case.query, "subject")
                if choice.random() < 0.5 and case.meta.generation.mode.is_positive:
                    # Who has sessions: those of whom before_call makes tokens.
                    case.query["subject"] = "alice"
            if is_text(case.query.get("next")) and case.meta.generation.mode.is_positive:
                # One that no answer to this very query had would be refused.
                case.query["next"] = CALLERS.next(case.query)


def issue(case, body, choice):
    if body is not None:
        body.setdefault("client_id", choice.choice(list(CLIENTS)))
    for member in ("subject", "nonce"):
        if body and is_text(body.get(member)):
            cut_to_bytes(body, member)
    if body and body.get("grant_type") == JWT_BEARER:
        if is_text(body.get("assertion")):
            body["assertion"] = CALLERS.assertion()
    else:
        authenticate(case, body, choice, "issuer", "portal", CALLERS.issuers["portal"])


def begin(case, asked, choice):
    # A client's own address; another one stays as it is.
    if asked and is_text(asked.get("client_id")) and asked.get("redirect_uri") == BACK:
        asked["redirect_uri"] = CALLBACKS.get(asked["client_id"], BACK)
    if choice.random() < 0.7:
        header(case, "Cookie", CALLERS.begin("librechat").cookie)


def issuer_answers(case, body, choice):
    if body and is_text(body.get("ticket")):
        body["ticket"] = CALLERS.begin(choice.choice(list(CALLBACKS)), scope="openid email").ticket
        SIGN_INS.add(body["ticket"])
    if body and is_text(body.get("subject")):
        cut_to_bytes(body, "subject")
    authenticate(case, body, choice, "issuer", "portal", CALLERS.issuers["portal"])


def come_back(case):
    if case.query and str(case.query.get("answer")).startswith("lka1_"):
        answer, cookie = CALLERS.answer("librechat")
        SIGN_INS.add(answer)
        case.query = dict(case.query) | {"answer": answer}
        header(case, "Cookie", cookie)


def userinfo(case, body):
    token = remember(CALLERS.issue("librechat"))["access_token"]
    if body and is_text(body.get("access_token")):
        body["access_token"] = token
    else:
        authorization(case, "Bearer " + token)


def sign_out(asked):
    if asked and is_text(asked.get("id_token_hint")):
        asked["id_token_hint"] = remember(CALLERS.issue("librechat"))["id_token"]
        SIGN_INS.add(asked["id_token_hint"])
    elif asked is not None and asked.get("client_id", "") == "":
        # One of the two names the client.
        asked["client_id"] = "librechat"


def exchange(case, body, choice):
    wants_verifier = is_text(body.get("code_verifier"))
    client = choice.choice(["librechat", "app"]) if wants_verifier else "actions"
    if is_text(body.get("code")):
        members = CALLERS.code(client)
        SIGN_INS.update(members.values())
        body |= {name: members[name] for name in members if is_text(body.get(name))}
    if client in CALLERS.clients:
        authenticate(case, body, choice, "client", client, CALLERS.clients[client])
    else:
        body["client_id"] = client


def renew(case, body, choice):
    if body and body.get("grant_type") == "authorization_code":
        exchange(case, body, choice)
        return
    if body and body.get("grant_type") in (TOKEN_EXCHANGE, JWT_BEARER):
        exchange_for_a_target(case, body, choice)
        return
    client = "librechat"
    if body and is_text(body.get("refresh_token")):
        wants_access_token = is_text(body.get("access_token"))
        tokens = ISSUED.get(body["refresh_token"])
        if tokens is None:
            requires = "access_token" if wants_access_token else "refresh_token"
            client = choice.choice([name for name, kind in CLIENTS.items() if kind["requires"] == requires])
            tokens = remember(CALLERS.issue(client))
            body["refresh_token"] = tokens["refresh_token"]
        client = client_of(tokens["access_token"])
        if wants_access_token and body["access_token"] not in ISSUED:
            body["access_token"] = tokens["access_token"]
    if client in CALLERS.clients:
        authenticate(case, body, choice, "client", client, CALLERS.clients[client])
    elif body and is_text(body.get("access_token")) and choice.random() < 0.5:
        # A public client is known by its access token, wherever that stands.
        authorization(case, "Bearer " + body.pop("access_token"))
    elif body:
        body["client_id"] = client


def exchange_for_a_target(case, body, choice):
    """By "librechat": all other clients' tokens are meant for it too."""
    name = "subject_token" if body["grant_type"] == TOKEN_EXCHANGE else "assertion"
    if is_text(body.get(name)) and body[name] not in ISSUED:
        body[name] = remember(CALLERS.issue("librechat"))["access_token"]
    is_named = any(body.get(member) not in (None, "", []) for member in ("audience", "resource"))
    if not is_named and case.meta.generation.mode.is_positive:
        # Something has to say which target it is.
        body |= {"resource": TOOLS} if name == "subject_token" or body.get("scope") == "" else {"scope": "tools"}
    authenticate(case, body, choice, "client", "librechat", CALLERS.clients["librechat"])


def about_a_token(case, body, choice):
    client = choice.choice(["librechat", "oauth"])
    if body and is_text(body.get("token")):
        if body["token"] not in ISSUED and choice.random() < 0.7:
            body["token"] = remember(CALLERS.issue(client))[choice.choice(["refresh_token", "access_token"])]
        if body["token"] in ISSUED:
            client = client_of(ISSUED[body["token"]]["access_token"])
    if client in CALLERS.clients and choice.random() < 0.5:
        authenticate(case, body, choice, "client", client, CALLERS.clients[client])
    else:
        authenticate(case, body, choice, "issuer", "portal", CALLERS.issuers["portal"])


def authenticate(case, body, choice, kind, name, secret):
    """In the header, or in the body."""
    if body is None or choice.random() < 0.5:
        authorization(case, CALLERS.issuer(name) if kind == "issuer" else CALLERS.client(name))
    else:
        body |= {f"{kind}_id": name, f"{kind}_secret": secret}


def authorization(case, value):
    header(case, "Authorization", value)


def header(case, name, value):
    case.headers = dict(case.headers or {}) | {name: value}


def cut_to_bytes(members, name):
    """255 characters may be more than 255 bytes, which a schema cannot say. The cut leaves no white space at the end."""
    text = members[name].encode()
    if len(text) > 255:
        members[name] = text[:255].decode(errors="ignore").rstrip()


@schemathesis.hook
def after_call(context, case, response):
    if response.status_code == 200 and case.path in ("/token", "/token/renew"):
        remember(response.json())
    is_probe = coverage_scenario(case) is CoverageScenario.UNSPECIFIED_HTTP_METHOD
    line = {
        "operation": f"{response.request.method} {case.path}",
        "status": response.status_code,
        "phase": case.meta.phase.name.value,
        "mode": case.meta.generation.mode.value,
        "is_probe": is_probe,
        "grant_type": case.body.get("grant_type", "") if isinstance(case.body, dict) else None,
        "error": response.json().get("error") if "json" in str(response.headers.get("content-type")) else None,
    }
    SEEN.write(json.dumps(line) + "\n")


@schemathesis.check
def holds_what_schemas_cannot_say(ctx, response, case):
    """For every answer, those included that schemathesis sends probes for and looks no further at."""
    check_no_null(response)
    check_probe(response, case)
    for address in response.headers.get("location", []):
        # No open redirect, whatever was asked for.
        known = (SIGN_IN, SIGN_OUT, *CALLBACKS.values(), AFTERWARDS, f"{CALLERS.url}/authorize")
        assert address.partition("?")[0] in known, f"{case.path}: to {address}"
