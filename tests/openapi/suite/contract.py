"""What is checked of answers beside schemathesis' own checks."""

import json

import jsonschema_rs

from server import DOCUMENT
import yaml

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def load():
    return yaml.safe_load(DOCUMENT.read_text())


def documented():
    """(method, path) of every operation, and whether only the local server has it."""
    return {
        (method.upper(), path): "servers" in item
        for path, item in load()["paths"].items()
        for method in item
        if method in METHODS
    }


def documented_errors(label, response):
    """The codes that an answer may have."""
    document = load()
    if name := response.get("$ref"):
        response = document["components"]["responses"][name.rpartition("/")[2]]

    def of(schema):
        if schema.get("$ref", "").endswith("/InvalidGrant"):
            return {"invalid_grant"}
        error = schema.get("properties", {}).get("error", {})
        return set(error.get("enum", [error["const"]] if "const" in error else [])).union(*map(of, schema.get("oneOf", [])))

    content = response.get("content", {}).get("application/json")
    return {(label, error) for error in of(content["schema"])} if content else set()


def allowed(path):
    """What `Allow` says: the documented methods, and HEAD where a cache may ask."""
    methods = [method.upper() for method in load()["paths"][path] if method in METHODS]
    return methods + ["HEAD"] if path.startswith("/.well-known/") else methods


def check_method_not_allowed(path, response):
    assert response.status_code == 405, f"{path}: {response.status_code}"
    headers = response.headers
    (allow,) = headers["allow"]
    assert allow.split(", ") == allowed(path), f"{path}: Allow: {allow}"
    assert headers["cache-control"] == ["no-store"] and headers["pragma"] == ["no-cache"], f"{path}: {headers}"
    if response.request.method != "HEAD":
        document = load()
        content = document["components"]["responses"]["MethodNotAllowed"]["content"]["application/json"]
        schema = content["schema"] | {"components": document["components"]}
        jsonschema_rs.validate(schema, json.loads(response.content))


def check_probe(response, case):
    if response.status_code == 405:
        check_method_not_allowed(case.path, response)
    elif response.status_code in (413, 415):
        case.operation.validate_response(response, case=case)


def check_no_null(response):
    def look(value):
        assert value is not None, f"null in {response.content!r}"
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            look(item)

    # Pages are not JSON, and redirects have no body.
    if response.content and "json" in str(response.headers.get("content-type")):
        look(json.loads(response.content))
