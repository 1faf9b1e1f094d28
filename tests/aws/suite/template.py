"""The template as CloudFormation gets it, and what must be true of it."""

import json
import logging
import re

from samcli.yamlhelper import yaml_dump, yaml_parse
from samtranslator.translator.transform import transform

from processes import ROOT

# What the emulator does not know, alarms on arithmetic apart. Each is checked by cfn-lint, and here or by the suite's own driving.
UNKNOWN_TO_THE_EMULATOR = {
    # Its properties are checked below; the suite rotates as Secrets Manager would, step by step.
    "AWS::SecretsManager::RotationSchedule",
    # The suite tries their queries on the lines that the functions have logged.
    "AWS::Logs::QueryDefinition",
    # The suite looks for its events and keys among the lines that the functions have logged.
    "AWS::CloudWatch::InsightRule",
    # There only if asked for; checked below.
    "AWS::SecretsManager::ResourcePolicy",
    "AWS::WAFv2::WebACL",
    "AWS::WAFv2::IPSet",
    "AWS::WAFv2::WebACLAssociation",
}

API_GATEWAY = "apigateway.amazonaws.com"
EXECUTE_API = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*/"


def attribute(resource, name="Arn"):
    return {"Fn::GetAtt": [resource, name]}


def reference(resource):
    return {"Ref": resource}


def secret(name):
    """The stack's own secret, or the one that the parameter names."""
    return {"Fn::If": [f"New{name}", attribute(name, "Id"), reference(f"{name}SecretArn")]}


def unless_empty(condition, parameter):
    return {"Fn::If": [condition, reference(parameter), reference("AWS::NoValue")]}


def logs(group):
    # GetAtt gives a log group's ARN with ":*" at its end: the streams.
    return (("logs:CreateLogStream", "logs:PutLogEvents"), [attribute(group)])


def decrypts(*services, actions=("kms:Decrypt",)):
    """Only with the parameter KmsKeyArn, and only by these services."""
    via = [{"Fn::Sub": f"{service}.${{AWS::Region}}.amazonaws.com"} for service in services]
    return (actions, [reference("KmsKeyArn")], {"StringEquals": {"kms:ViaService": via}})


# One table: the stack's own, or the one that the parameter names.
TABLE = {
    "Fn::If": [
        "HasTable",
        {"Fn::Sub": "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/${TableName}"},
        attribute("Sessions"),
    ]
}
SIGNS = (("secretsmanager:GetSecretValue",), [secret("SigningKeys"), secret("Clients")])
VERIFIES = (("secretsmanager:GetSecretValue",), [secret("VerificationKeys"), secret("Clients")])
DECRYPTS = decrypts("dynamodb", "secretsmanager")
# The end of a session. tests/workspace/permissions.rs holds the attributes against what the functions send.
ENDS = (
    ("dynamodb:UpdateItem",),
    [TABLE],
    {
        "ForAllValues:StringEquals": {
            "dynamodb:Attributes": [
                *("owner", "sid", "revoked_at", "revoked_reason", "revocation_id", "expires_at"),
                *("claims", "sealed_successor", "previous_hash"),
            ]
        },
        "StringEqualsIfExists": {"dynamodb:ReturnValues": ["NONE"]},
    },
)

# Everything that any role may do. A change of a role is a change here.
STATEMENTS = {
    "IssueRole": [(("dynamodb:PutItem",), [TABLE]), SIGNS, DECRYPTS, logs("IssueLogs")],
    # What strangers reach first: neither the table nor any key of tokens.
    "AuthorizeRole": [
        (("secretsmanager:GetSecretValue",), [secret("TicketKeys"), secret("Clients")]),
        decrypts("secretsmanager"),
        logs("AuthorizeLogs"),
    ],
    "RenewRole": [(("dynamodb:UpdateItem", "dynamodb:GetItem"), [TABLE]), SIGNS, DECRYPTS, logs("RenewLogs")],
    "RevokeRole": [(("dynamodb:GetItem",), [TABLE]), ENDS, VERIFIES, DECRYPTS, logs("RevokeLogs")],
    "IntrospectRole": [(("dynamodb:GetItem",), [TABLE]), VERIFIES, DECRYPTS, logs("IntrospectLogs")],
    "SubjectSessionsRole": [
        (("dynamodb:Query", "dynamodb:GetItem"), [TABLE]),
        ENDS,
        VERIFIES,
        DECRYPTS,
        logs("SubjectSessionsLogs"),
    ],
    "AuthorizerRole": [(("dynamodb:GetItem",), [TABLE]), VERIFIES, DECRYPTS, logs("AuthorizerLogs")],
    "DiscoveryRole": [
        (("secretsmanager:GetSecretValue",), [secret("PublicKeys")]),
        decrypts("secretsmanager"),
        logs("DiscoveryLogs"),
    ],
    "RotateKeysRole": [
        (
            (
                "secretsmanager:DescribeSecret",
                "secretsmanager:GetSecretValue",
                "secretsmanager:PutSecretValue",
                "secretsmanager:UpdateSecretVersionStage",
            ),
            [secret("SigningKeys")],
        ),
        (
            ("secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"),
            [secret("VerificationKeys"), secret("TicketKeys"), secret("PublicKeys")],
        ),
        # Only with the parameter JwtSecretArn.
        (("secretsmanager:GetSecretValue",), [reference("JwtSecretArn")]),
        # Only with the parameter JwtSecretKmsKeyArn.
        (
            ("kms:Decrypt",),
            [reference("JwtSecretKmsKeyArn")],
            {"StringEquals": {"kms:ViaService": {"Fn::Sub": "secretsmanager.${AWS::Region}.amazonaws.com"}}},
        ),
        decrypts("secretsmanager", actions=("kms:Decrypt", "kms:GenerateDataKey")),
        logs("RotateKeysLogs"),
    ],
}

ALIASED = [
    *("IssueFunction", "AuthorizeFunction", "RenewFunction", "RevokeFunction", "IntrospectFunction", "SubjectSessionsFunction"),
    *("AuthorizerFunction", "DiscoveryFunction"),
]
# CodeDeploy's role moves the aliases. Nothing tells it which alarms it may ask for.
STATEMENTS["DeploymentRole"] = [
    (
        ("lambda:GetAlias", "lambda:UpdateAlias", "lambda:GetProvisionedConcurrencyConfig"),
        [where for name in ALIASED for where in (attribute(name), {"Fn::Sub": f"${{{name}.Arn}}:live"})],
    ),
    (("cloudwatch:DescribeAlarms",), ["*"]),
]

ROLES = {
    "IssueFunction": "IssueRole",
    "AuthorizeFunction": "AuthorizeRole",
    "RenewFunction": "RenewRole",
    "RevokeFunction": "RevokeRole",
    "IntrospectFunction": "IntrospectRole",
    "SubjectSessionsFunction": "SubjectSessionsRole",
    "AuthorizerFunction": "AuthorizerRole",
    "DiscoveryFunction": "DiscoveryRole",
    "RotateKeysFunction": "RotateKeysRole",
}



def either_api(pattern):
    """The HTTP API, or the REST API in its place."""
    return {"Fn::Sub": [EXECUTE_API + pattern, {"Api": {"Fn::If": ["IsHttp", reference("HttpApi"), reference("RestApi")]}}]}


INVOKERS = [
    ("AuthorizeFunction", API_GATEWAY, either_api("*/authorize")),
    ("AuthorizeFunction", API_GATEWAY, either_api("GET/authorize/return")),
    ("AuthorizeFunction", API_GATEWAY, either_api("POST/register")),
    ("DiscoveryFunction", API_GATEWAY, either_api("GET/.well-known/*")),
    ("IntrospectFunction", API_GATEWAY, either_api("POST/token/introspect")),
    ("IntrospectFunction", API_GATEWAY, either_api("*/userinfo")),
    ("IssueFunction", API_GATEWAY, either_api("POST/token")),
    ("IssueFunction", API_GATEWAY, either_api("POST/authorize/*")),
    ("RenewFunction", API_GATEWAY, either_api("POST/token/renew")),
    ("RevokeFunction", API_GATEWAY, either_api("POST/token/revoke")),
    ("RevokeFunction", API_GATEWAY, either_api("*/sign-out")),
    ("RotateKeysFunction", "secretsmanager.amazonaws.com", secret("SigningKeys")),
    ("SubjectSessionsFunction", API_GATEWAY, either_api("GET/sessions")),
    ("SubjectSessionsFunction", API_GATEWAY, either_api("DELETE/sessions")),
    ("SubjectSessionsFunction", API_GATEWAY, either_api("DELETE/sessions/*")),
]


class NoManagedPolicies:
    """The roles are written out, so nothing asks for AWS's own policies."""

    def load(self):
        return {}


# Its translator tells of a switch that it does not find.
logging.getLogger("samtranslator").setLevel(logging.CRITICAL)


def processed(**parameters):
    """The template after the SAM transform, made by AWS's own translator."""
    source = yaml_parse((ROOT / "template.yaml").read_text())
    for resource in source["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    return transform(source, parameters, NoManagedPolicies())


def check():
    # Any of the gradual ways shows that the parameter reaches CodeDeploy.
    resources = processed(DeploymentType="Canary10Percent10Minutes")["Resources"]

    def of_type(name):
        return {key: value["Properties"] for key, value in resources.items() if value["Type"] == name}

    roles = of_type("AWS::IAM::Role")
    assert roles.keys() == STATEMENTS.keys(), f"roles: {sorted(roles)}"
    for name, role in roles.items():
        members = {"AssumeRolePolicyDocument", "Policies", "Path", "PermissionsBoundary"}
        assert role.keys() == members, f"{name} has more: {sorted(role)}"
        assert role["Path"] == reference("RolePath"), name
        assert role["PermissionsBoundary"] == unless_empty("HasPermissionsBoundary", "PermissionsBoundaryArn"), name
        service = "codedeploy.amazonaws.com" if name == "DeploymentRole" else "lambda.amazonaws.com"
        for trust in role["AssumeRolePolicyDocument"]["Statement"]:
            assert trust == {
                "Effect": "Allow",
                "Principal": {"Service": service},
                "Action": "sts:AssumeRole",
            }, f"{name} trusts {trust}"
        found = [statement(item) for policy in role["Policies"] for item in policy["PolicyDocument"]["Statement"]]
        assert found == STATEMENTS[name], f"{name} may:\n{json.dumps(found, indent=1)}"
        assert name == "DeploymentRole" or "*" not in json.dumps(found), f"{name} has a wildcard"
    for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
        assert not of_type(kind), f"there is an {kind}"

    functions = of_type("AWS::Lambda::Function")
    given = {name for function in functions.values() for name in function["Environment"]["Variables"]}
    settings = (ROOT / "shared/token-lambda/src/settings.rs").read_text()
    missing = set(re.findall(r"\bLATCHKEY_[A-Z_]+[A-Z]\b", settings)) - given
    assert not missing, f"no parameter sets {missing}"
    assert {name: function["Role"] for name, function in functions.items()} == {
        name: attribute(role) for name, role in ROLES.items()
    }
    for name, function in functions.items():
        # sam build sees no parameter of sam deploy, so none may say for which processor it builds.
        assert function["Architectures"] == ["arm64"], f"{name}: {function['Architectures']}"
        own = name.removesuffix("Function").replace("SubjectSessions", "Sessions") + "Concurrency"
        assert function["ReservedConcurrentExecutions"] == unless_empty(f"Has{own}", own), name
    own_key = unless_empty("HasKmsKey", "KmsKeyArn")
    assert [table["SSESpecification"]["KMSMasterKeyId"] for table in of_type("AWS::DynamoDB::Table").values()] == [own_key]
    for kind in ("AWS::SecretsManager::Secret", "AWS::Logs::LogGroup"):
        assert all(resource["KmsKeyId"] == own_key for resource in of_type(kind).values()), kind
    policies = of_type("AWS::SecretsManager::ResourcePolicy")
    for name in of_type("AWS::SecretsManager::Secret"):
        # Everybody who may read it, the operators, and nobody else.
        reads = {role: [item[1] for item in may if "secretsmanager:GetSecretValue" in item[0]] for role, may in STATEMENTS.items()}
        readers = [role for role, places in reads.items() if any(secret(name) in place for place in places)]
        policy = policies.pop(f"{name}Policy")
        (refusal,) = policy["ResourcePolicy"]["Statement"]
        assert policy["SecretId"] == secret(name) and refusal["Effect"] == "Deny" and refusal["Principal"] == "*", name
        (listed,) = refusal["Condition"].pop("ArnNotLike").values()
        assert not refusal["Condition"], name
        operators, *own = listed["Fn::Split"][1]["Fn::Join"][1]
        assert operators == reference("SecretReaderArns"), name
        assert sorted(arn["Fn::GetAtt"][0] for arn in own) == sorted(readers), f"{name}: {own}"
    assert not policies, policies
    kept = {"Fn::If": ["KeepsData", "RetainExceptOnCreate", "Delete"]}
    for name, resource in resources.items():
        policies = (resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy"))
        if resource["Type"] == "AWS::Logs::LogGroup":
            # Their names are fixed: a first deployment that failed must not leave them in the next one's way.
            assert policies == (kept, reference("DataDeletionPolicy")), name
        elif resource["Type"] in ("AWS::DynamoDB::Table", "AWS::SecretsManager::Secret"):
            assert policies == (reference("DataDeletionPolicy"), reference("DataDeletionPolicy")), name
    # Which of the key secrets each function knows of. Who only verifies knows none with private keys.
    keys = {
        "IssueFunction": {"SIGNING"},
        "AuthorizeFunction": {"TICKET"},
        "RenewFunction": {"SIGNING"},
        "RevokeFunction": {"VERIFICATION"},
        "IntrospectFunction": {"VERIFICATION"},
        "SubjectSessionsFunction": {"VERIFICATION"},
        "AuthorizerFunction": {"VERIFICATION"},
        "DiscoveryFunction": {"PUBLIC"},
        "RotateKeysFunction": {"SIGNING", "VERIFICATION", "TICKET", "PUBLIC"},
    }
    known = {
        name: {found[1] for variable in function["Environment"]["Variables"] if (found := re.match("LATCHKEY_([A-Z]+)_KEYS$", variable))}
        for name, function in functions.items()
    }
    assert known == keys, known
    # All that strangers' requests can make use of.
    assert functions["AuthorizeFunction"]["Environment"]["Variables"].keys() == {
        *("RUST_LOG", "LATCHKEY_ISSUER", "LATCHKEY_TICKET_KEYS", "LATCHKEY_CLIENTS", "LATCHKEY_SECRETS_TTL_SECONDS"),
        *("LATCHKEY_CORS_ORIGINS", "LATCHKEY_DYNAMIC_CLIENTS"),
    }
    # Functions on the same sessions have the same settings, but for those keys.
    same = ("IssueFunction", "RenewFunction", "RevokeFunction", "IntrospectFunction", "SubjectSessionsFunction")
    first, *others = [
        {variable: value for variable, value in functions[name]["Environment"]["Variables"].items() if not variable.endswith("_KEYS")}
        for name in same
    ]
    assert all(other == first for other in others), "functions on the same sessions have the same settings"
    for name, statements in STATEMENTS.items():
        if "VERIFICATION" in keys.get(name.removesuffix("Role") + "Function", {}) and name != "RotateKeysRole":
            assert "SigningKeys" not in json.dumps(roles[name]), f"{name} may do something with private keys"

    permissions = of_type("AWS::Lambda::Permission").values()
    # The alias of a function that has one, and never a version beside it.
    called = {**{f"{name}Aliaslive": name for name in ALIASED}, "RotateKeysFunction": "RotateKeysFunction"}
    found = [(called[item["FunctionName"]["Ref"]], item["Principal"], item["SourceArn"]) for item in permissions]
    assert sorted(found, key=json.dumps) == sorted(INVOKERS, key=json.dumps), found
    deployments(resources)
    front_doors(resources)

    (schedule,) = of_type("AWS::SecretsManager::RotationSchedule").values()
    assert schedule == {
        "SecretId": secret("SigningKeys"),
        "RotationLambdaARN": attribute("RotateKeysFunction"),
        "RotateImmediatelyOnUpdate": True,
        "RotationRules": {"AutomaticallyAfterDays": reference("RotationDays")},
    }, schedule
    assert resources["KeyRotation"]["DependsOn"] == "RotateKeysPermission"


def deployments(resources):
    """Gradual deployments, which the emulator does not know: the alias of each function, and who moves it when."""
    kinds = {}
    for name, resource in resources.items():
        kinds.setdefault(resource["Type"], {})[name] = resource
    aliases = kinds["AWS::Lambda::Alias"]
    assert sorted(aliases) == sorted(f"{name}Aliaslive" for name in ALIASED), sorted(aliases)
    for version in kinds["AWS::Lambda::Version"].values():
        assert version["DeletionPolicy"] == "Retain", "an earlier version is there to go back to"
    alarms = [{"Name": reference(name)} for name in ("FunctionErrorAlarm", "AuthorizerErrorAlarm", "ServerErrorAlarm")]
    for name in ALIASED:
        alias, group = aliases[f"{name}Aliaslive"], kinds["AWS::CodeDeploy::DeploymentGroup"].pop(f"{name}DeploymentGroup")
        moved = {"ApplicationName": reference("ServerlessDeploymentApplication"), "DeploymentGroupName": reference(f"{name}DeploymentGroup")}
        assert alias["UpdatePolicy"] == {"CodeDeployLambdaAliasUpdate": moved}, alias
        properties = group["Properties"]
        assert properties["ServiceRoleArn"] == attribute("DeploymentRole"), properties
        assert properties["DeploymentConfigName"] == {"Fn::Sub": "CodeDeployDefault.LambdaCanary10Percent10Minutes"}, properties
        assert properties["AutoRollbackConfiguration"]["Enabled"] is True, properties
        assert properties["AlarmConfiguration"] == {"Fn::If": ["IsGradual", {"Enabled": True, "Alarms": alarms}, {}]}, properties
    assert not kinds["AWS::CodeDeploy::DeploymentGroup"], "rotations call the function itself"
    for integration in kinds["AWS::ApiGatewayV2::Integration"].values():
        assert integration["Properties"]["IntegrationUri"]["Ref"] in aliases, integration


def front_doors(resources):
    """One API or the other, never both. That the REST API has the same routes is held by tests/workspace/routes.rs."""
    for name, resource in resources.items():
        kind, condition = resource["Type"], resource.get("Condition")
        if kind.startswith("AWS::ApiGatewayV2::") and kind not in ("AWS::ApiGatewayV2::DomainName", "AWS::ApiGatewayV2::ApiMapping"):
            assert condition == "IsHttp", f"{name}: {condition}"
        if kind.startswith(("AWS::ApiGateway::", "AWS::WAFv2::")):
            assert condition == ("HasCallerAddresses" if name == "Callers" else "IsRest"), f"{name}: {condition}"
    (stage,) = [item["Properties"] for item in resources.values() if item["Type"] == "AWS::ApiGateway::Stage"]
    assert set(json.loads(stage["AccessLogSetting"]["Format"])) == access_log_members(), "both logs have the same members"
    http = resources["Stage"]["Properties"]
    throttled = {
        f"{setting['HttpMethod']} {setting['ResourcePath'].removeprefix('/').replace('~1', '/')}": setting["ThrottlingRateLimit"]
        for setting in stage["MethodSettings"]
    }
    assert throttled.pop("* *") == http["DefaultRouteSettings"]["ThrottlingRateLimit"], throttled
    assert throttled == {route: setting["ThrottlingRateLimit"] for route, setting in http["RouteSettings"].items()}, "the same throttles"
    association = resources["FirewallAssociation"]["Properties"]["ResourceArn"]["Fn::Sub"]
    assert association.endswith("/restapis/${RestApi}/stages/${RestApiliveStage}"), association
    callers, rate = resources["Firewall"]["Properties"]["Rules"]
    assert callers["Fn::If"][0] == "HasCallerAddresses" and callers["Fn::If"][1]["Action"] == {"Allow": {}}, callers
    assert rate["Statement"]["RateBasedStatement"]["Limit"] == reference("RequestsPerAddress"), rate


def saved_queries():
    """Name, text and log groups, by their names in the template, of every saved query."""
    for resource in processed()["Resources"].values():
        if resource["Type"] == "AWS::Logs::QueryDefinition":
            properties = resource["Properties"]
            groups = [group["Ref"] for group in properties["LogGroupNames"]]
            yield properties["Name"]["Fn::Sub"].removeprefix("${AWS::StackName}/"), properties["QueryString"], groups


def parameters():
    """The parameters' defaults."""
    return {name: parameter["Default"] for name, parameter in processed()["Parameters"].items()}


def counting_rules():
    """The body and the log groups, by their names in the template, of every rule that counts lines by their keys."""
    for resource in processed()["Resources"].values():
        if resource["Type"] == "AWS::CloudWatch::InsightRule":
            body = json.loads(resource["Properties"]["RuleBody"]["Fn::Sub"])
            yield body, [re.fullmatch(r"\$\{(\w+)\}", group)[1] for group in body["LogGroupNames"]]


def is_alarm_on_arithmetic(resource):
    """The emulator knows alarms on one metric only."""
    return resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]


def alarms_on_arithmetic(names):
    """The alarms that the emulator does not know, with `names` in the place of what they refer to; by their own."""

    def resolved(value):
        if isinstance(value, list):
            return [resolved(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "Ref" in value:
            return names[value["Ref"]]
        if "Fn::If" in value:
            condition, then, otherwise = value["Fn::If"]
            return resolved({"HasAlarmTopic": then, "HasTable": otherwise, "IsHttp": then}[condition])
        if "Fn::Sub" in value:
            return re.sub(r"\$\{(\w+)(\.\w+)?\}", lambda found: str(names[found[1]]), value["Fn::Sub"])
        return {name: resolved(item) for name, item in value.items()}

    for name, resource in processed()["Resources"].items():
        if is_alarm_on_arithmetic(resource):
            yield name, {"AlarmName": name, **resolved(resource["Properties"])}


def routes():
    """The routes of the HTTP API."""
    return {item["Properties"]["RouteKey"] for item in processed()["Resources"].values() if item["Type"] == "AWS::ApiGatewayV2::Route"}


def access_log_members():
    (stage,) = [item for item in processed()["Resources"].values() if item["Type"] == "AWS::ApiGatewayV2::Stage"]
    return set(json.loads(stage["Properties"]["AccessLogSettings"]["Format"]))


def statement(item):
    if "Fn::If" in item:
        condition, item, otherwise = item["Fn::If"]
        assert condition in ("HasJwtSecret", "HasJwtSecretKmsKey", "HasKmsKey") and otherwise == {"Ref": "AWS::NoValue"}, item
    assert item["Effect"] == "Allow" and item.keys() - {"Condition"} == {"Effect", "Action", "Resource"}, item
    actions, where = item["Action"], item["Resource"]
    found = (
        (actions,) if isinstance(actions, str) else tuple(actions),
        where if isinstance(where, list) else [where],
    )
    return (*found, item["Condition"]) if "Condition" in item else found


def for_architecture(architecture):
    """Writes the template for another processor than its own; gives the path."""
    text, count = re.subn(r"(?m)^    Architectures: \[arm64\]$", f"    Architectures: [{architecture}]", (ROOT / "template.yaml").read_text())
    assert count == 1, "one place says which processor"
    path = ROOT / f".aws-sam/{architecture}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def with_values(value, parameters):
    """As AWS::LanguageExtensions leaves it: parameters' values in the place of references to them."""
    if isinstance(value, list):
        return [with_values(item, parameters) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"Ref"}:
        return parameters.get(value["Ref"], value)
    return {name: with_values(item, parameters) for name, item in value.items()}


def for_the_emulator(built, given):
    """Writes the built template without what the emulator does not know; gives the path and what is missing."""
    template = yaml_parse(built.read_text())
    assert template["Transform"][0] == "AWS::LanguageExtensions", "or no change of a parameter makes a new version"
    values = {name: str(given.get(name, default)) for name, default in parameters().items()}
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            # It has no CodeDeploy: aliases move at once there.
            resource["Properties"].pop("DeploymentPreference", None)
            # And its AWS::LanguageExtensions leaves parameters as they are.
            resource["Properties"] = with_values(resource["Properties"], values)
    missing = [
        name
        for name, resource in template["Resources"].items()
        if resource["Type"] in UNKNOWN_TO_THE_EMULATOR or is_alarm_on_arithmetic(resource)
    ]
    for name in missing:
        del template["Resources"][name]
    path = built.with_name("emulator.yaml")
    path.write_text(yaml_dump(template))
    return path, missing
