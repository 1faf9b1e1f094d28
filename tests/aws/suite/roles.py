"""What the functions' roles may do, tried for real where the emulator enforces it."""

from botocore.exceptions import ClientError


# Functions that work on sessions read the keys and the registrations.
ON_SESSIONS = {"IssueRole", "RenewRole", "RevokeRole", "IntrospectRole", "SubjectSessionsRole", "AuthorizerRole"}


def attempt(call, **arguments):
    """Whether the role may do this. Any other error than a refusal comes after the permission."""
    try:
        call(**arguments)
        return True
    except ClientError as error:
        code = error.response["Error"]["Code"]
        return not ("AccessDenied" in code or "NotAuthorized" in code)


def check(emulator, stack, resources, outputs):
    """Gives the number of attempts made."""
    sts = emulator.client("sts")
    account = sts.get_caller_identity()["Account"]
    key = {"owner": {"B": b"o" * 16}, "sid": {"B": b"s" * 16}}
    table, keys = outputs["TableName"], outputs["SigningKeysSecretArn"]
    public, clients = outputs["PublicKeysSecretArn"], outputs["ClientsSecretArn"]
    attempts = 0
    # The whole truth about every role: each of these calls is allowed to exactly the roles named.
    allowed = {
        "put": {"IssueRole"},
        "update": {"RenewRole", "RevokeRole", "SubjectSessionsRole"},
        "get": {"RenewRole", "RevokeRole", "IntrospectRole", "SubjectSessionsRole", "AuthorizerRole"},
        "query": {"SubjectSessionsRole"},
        "scan": set(),
        "delete": set(),
        "drop": set(),
        "read keys": {*ON_SESSIONS, "RotateKeysRole"},
        "read clients": ON_SESSIONS,
        "read public keys": {"DiscoveryRole", "RotateKeysRole"},
        "write clients": set(),
        "list secrets": set(),
        "invoke": set(),
    }
    for role in (*sorted(ON_SESSIONS), "DiscoveryRole", "RotateKeysRole"):
        arn = f"arn:aws:iam::{account}:role/{resources[role]}"
        credentials = sts.assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        dynamodb = emulator.client("dynamodb", credentials)
        secrets = emulator.client("secretsmanager", credentials)
        functions = emulator.client("lambda", credentials)
        # What is allowed must not do harm: conditions fail, and the record is nobody's.
        never = {"ConditionExpression": "attribute_exists(nothing)"}
        change = {"UpdateExpression": "SET a = :a", "ExpressionAttributeValues": {":a": {"S": "a"}}}
        query = {"KeyConditionExpression": "owner = :o", "ExpressionAttributeValues": {":o": {"B": b"o"}}}
        calls = {
            "put": (dynamodb.put_item, {"TableName": table, "Item": key, **never}),
            "update": (dynamodb.update_item, {"TableName": table, "Key": key, **change, **never}),
            "get": (dynamodb.get_item, {"TableName": table, "Key": key}),
            "query": (dynamodb.query, {"TableName": table, **query}),
            "scan": (dynamodb.scan, {"TableName": table}),
            "delete": (dynamodb.delete_item, {"TableName": table, "Key": key, **never}),
            "drop": (dynamodb.delete_table, {"TableName": table}),
            "read keys": (secrets.get_secret_value, {"SecretId": keys}),
            "read clients": (secrets.get_secret_value, {"SecretId": clients}),
            "read public keys": (secrets.get_secret_value, {"SecretId": public}),
            "write clients": (secrets.put_secret_value, {"SecretId": clients, "SecretString": "{}"}),
            "list secrets": (secrets.list_secrets, {}),
            "invoke": (functions.invoke, {"FunctionName": f"{stack}-issue", "Payload": b"{}"}),
        }
        for name, (call, arguments) in calls.items():
            may = attempt(call, **arguments)
            assert may == (role in allowed[name]), f"{role} may {'' if may else 'not '}{name}"
            attempts += 1
    return attempts
