"""What the functions' roles may do, tried for real where the emulator enforces it."""

from botocore.exceptions import ClientError


# Functions that work on sessions read keys and the registrations: the key ring where they sign, and else what is derived
# from it, which has no private keys.
SIGNING = {"IssueRole", "RenewRole"}
VERIFYING = {"RevokeRole", "IntrospectRole", "SubjectSessionsRole", "AuthorizerRole"}
ON_SESSIONS = SIGNING | VERIFYING


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
    verification, tickets = outputs["VerificationKeysSecretArn"], outputs["TicketKeysSecretArn"]
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
        "read private keys": SIGNING | {"RotateKeysRole"},
        "read verification keys": VERIFYING | {"RotateKeysRole"},
        "read ticket keys": {"AuthorizeRole", "RotateKeysRole"},
        "read clients": {*ON_SESSIONS, "AuthorizeRole"},
        "read public keys": {"DiscoveryRole", "RotateKeysRole"},
        "write clients": set(),
        "list secrets": set(),
        "invoke": set(),
    }
    for role in (*sorted(ON_SESSIONS), "AuthorizeRole", "DiscoveryRole", "RotateKeysRole"):
        arn = f"arn:aws:iam::{account}:role/{resources[role]}"
        credentials = sts.assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        dynamodb = emulator.client("dynamodb", credentials)
        secrets = emulator.client("secretsmanager", credentials)
        functions = emulator.client("lambda", credentials)
        # What is allowed must not do harm: conditions fail, and the record is nobody's.
        never = {"ConditionExpression": "attribute_exists(revoked_reason)"}
        change = {"UpdateExpression": "SET revoked_at = :a", "ExpressionAttributeValues": {":a": {"N": "1"}}}
        query = {"KeyConditionExpression": "owner = :o", "ExpressionAttributeValues": {":o": {"B": b"o"}}}
        calls = {
            "put": (dynamodb.put_item, {"TableName": table, "Item": key, **never}),
            "update": (dynamodb.update_item, {"TableName": table, "Key": key, **change, **never}),
            "get": (dynamodb.get_item, {"TableName": table, "Key": key}),
            "query": (dynamodb.query, {"TableName": table, **query}),
            "scan": (dynamodb.scan, {"TableName": table}),
            "delete": (dynamodb.delete_item, {"TableName": table, "Key": key, **never}),
            "drop": (dynamodb.delete_table, {"TableName": table}),
            "read private keys": (secrets.get_secret_value, {"SecretId": keys}),
            "read verification keys": (secrets.get_secret_value, {"SecretId": verification}),
            "read ticket keys": (secrets.get_secret_value, {"SecretId": tickets}),
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
