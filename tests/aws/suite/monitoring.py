"""Dashboard, alarms and saved queries, held against what the functions have logged: whatever they name must be there."""

import json
import re

from jsonschema import Draft7Validator

from processes import ROOT

SCHEMA = Draft7Validator(json.loads((ROOT / "tests/aws/embedded-metric-format.schema.json").read_text()))

# What AWS itself measures, by which dimension. The emulator does not; names are checked against this list, from AWS's
# documentation, and values against what is deployed.
OF_AWS = {
    ("AWS/ApiGateway", "Count"): "ApiId",
    ("AWS/ApiGateway", "4xx"): "ApiId",
    ("AWS/ApiGateway", "5xx"): "ApiId",
    ("AWS/ApiGateway", "Latency"): "ApiId",
    ("AWS/DynamoDB", "ReadThrottleEvents"): "TableName",
    ("AWS/DynamoDB", "WriteThrottleEvents"): "TableName",
    ("AWS/Lambda", "Errors"): "FunctionName",
    ("AWS/Lambda", "Invocations"): "FunctionName",
    ("AWS/Lambda", "Throttles"): "FunctionName",
}


def metrics_of(line):
    """Every metric of one line as CloudWatch would take it out: (namespace, name, dimensions), and its value."""
    faults = [fault.message for fault in SCHEMA.iter_errors(line)]
    assert not faults, f"no embedded metrics: {faults}: {line}"
    for directive in line["_aws"]["CloudWatchMetrics"]:
        # What the specification says in words: targets are members of the root, of the right type.
        assert 0 < len(directive["Metrics"]) <= 100, line
        for names in directive["Dimensions"]:
            dimensions = {name: line[name] for name in names}
            assert all(isinstance(value, str) and value for value in dimensions.values()), line
            for metric in directive["Metrics"]:
                value = line[metric["Name"]]
                assert isinstance(value, (int, float)) and not isinstance(value, bool), line
                yield (directive["Namespace"], metric["Name"], frozenset(dimensions.items())), value


class Metrics:
    """All metrics that have been logged: name and dimensions, with the values."""

    def __init__(self, lines):
        self.values, self.lines, self.octets = {}, 0, 0
        for line in lines:
            if "_aws" not in line:
                continue
            self.lines += 1
            self.octets += len(json.dumps(line, separators=(",", ":"))) + 1
            for key, value in metrics_of(line):
                self.values.setdefault(key, []).append(value)

    def check(self, where, named, deployed):
        """What a widget or an alarm names must have been measured, or be AWS's own of something that is deployed."""
        namespace, name, dimensions = named
        if namespace == "Latchkey":
            assert named in self.values, f"{where} would show nothing: {name} {dict(dimensions)}"
            return
        ((dimension, value),) = dimensions
        assert OF_AWS.get((namespace, name)) == dimension, f"{where}: {namespace} has no {name} by {dimension}"
        assert value in deployed, f"{where}: there is no {dimension} {value}"

    def search(self, where, expression):
        """The metrics that a SEARCH finds."""
        shape = re.fullmatch(r"SEARCH\('\{(\w+),([\w,]+)\} MetricName=\"(\w+)\" (.+)', '(\w+)', \d+\)", expression)
        assert shape, f"{where}: cannot read {expression}"
        namespace, names, metric, which, _ = shape.groups()
        functions = set(re.findall(r'function="([^"]+)"', which))
        assert re.sub(r'function="[^"]+"|[() ]|\bOR\b', "", which) == "", f"{where}: cannot read {which}"
        found = {
            dict(dimensions)["function"]
            for (space, name, dimensions) in self.values
            if (space, name) == (namespace, metric)
            and dict(dimensions).keys() == set(names.split(","))
            and dict(dimensions)["function"] in functions
        }
        assert found, f"{where} would show nothing: {expression}"
        return functions, found


def check_dashboard(body, metrics, deployed):
    """Gives the number of metrics that it names."""
    count = 0
    for widget in json.loads(body)["widgets"]:
        properties = widget["properties"]
        where = f"widget {properties['title']!r}"
        assert "${" not in json.dumps(widget), f"{where} has a name that nothing has replaced"
        assert properties["metrics"], where
        for named in properties["metrics"]:
            count += 1
            if isinstance(named[0], dict):
                functions, _ = metrics.search(where, named[0]["expression"])
                assert functions <= deployed, f"{where}: there is no {functions - deployed}"
                continue
            namespace, name, *pairs = (item for item in named if isinstance(item, str))
            dimensions = frozenset(zip(pairs[::2], pairs[1::2], strict=True))
            metrics.check(where, (namespace, name, dimensions), deployed)
    return count


def check_alarms(alarms, topic, metrics, deployed):
    for alarm in alarms:
        where = f"alarm {alarm['AlarmName']}"
        assert alarm["AlarmActions"] == alarm["OKActions"] == [topic], alarm
        assert alarm["TreatMissingData"] == "notBreaching", alarm
        queries = alarm.get("Metrics") or []
        if any("INSIGHT_RULE_METRIC" in query.get("Expression", "") for query in queries):
            # Its lines are check_rule's.
            continue
        stats = [query["MetricStat"]["Metric"] for query in queries if "MetricStat" in query] or [alarm]
        for stat in stats:
            dimensions = frozenset((item["Name"], item["Value"]) for item in stat["Dimensions"])
            metrics.check(where, (stat["Namespace"], stat["MetricName"], dimensions), deployed)
        if queries:
            # CloudWatch takes no alarm on more, and neither the emulator nor cfn-lint says so.
            assert len(stats) <= 10, f"{where} watches {len(stats)} metrics"
            ids = {query["Id"] for query in queries if "MetricStat" in query}
            (expression,) = [query["Expression"] for query in queries if "MetricStat" not in query]
            # Arithmetic apart, an expression knows only functions and the queries' ids.
            words = set(re.findall(r"\b[a-z]\w*\b", expression))
            assert words == ids or "METRICS()" in expression and not words, f"{where}: {expression} of {ids}"


def check_rule(body, lines):
    """A rule that counts lines by their keys must find some: JSON, its events, every key in each."""
    assert body["LogFormat"] == "JSON" and body["AggregateOn"] == "Count", body
    (condition,) = body["Contribution"]["Filters"]
    assert condition["Match"] == "$.event", condition
    for event in condition["In"]:
        found = [line for line in lines if line.get("event") == event]
        keys = [key.removeprefix("$.") for key in body["Contribution"]["Keys"]]
        assert any(all(key in line for key in keys) for line in found), f"no {event} has {keys}: {found[:3]}"


class Query:
    """As much of the language of Logs Insights as the saved queries speak."""

    def __init__(self, text):
        commands = " ".join(line for line in text.splitlines() if not line.startswith("#")).split(" | ")
        self.filter, *self.more = [command.strip() for command in commands]
        assert self.filter.startswith("filter "), text

    def selects(self, line):
        """Whether its filter lets a line through."""
        alternatives = self.filter.removeprefix("filter ").split(" or ")
        return any(all(self.holds(term, line) for term in alternative.split(" and ")) for alternative in alternatives)

    @staticmethod
    def holds(term, line):
        name, operator, value = re.fullmatch(r"(\w+) (=|<=|in) (.+)", term.strip()).groups()
        value = json.loads(value)
        if name not in line:
            return False
        return {"=": lambda: line[name] == value, "<=": lambda: line[name] <= value, "in": lambda: line[name] in value}[operator]()

    def fields(self):
        """The names of everything that it reads, and not what it makes itself."""
        names = set(re.findall(r"(\w+) (?:=|<=|in) ", self.filter))
        made = set()
        for command in self.more:
            word, _, rest = command.partition(" ")
            made |= set(re.findall(r"\bas (\w+)", rest))
            if word in ("fields", "stats"):
                rest = re.sub(r"\w+\(([\w*]+)\) as \w+|bin\(\w+\)", r"\1", rest)
                names |= set(re.findall(r"@?\w+", rest)) - {"by", "1h"}
            elif word == "sort":
                names.add(rest.split()[0])
            else:
                assert word == "limit" and rest.isdigit(), command
        return {name for name in names - made if not name.startswith("@")}


def check_query(name, text, lines, known):
    """A saved query must select lines, and every field that it reads must be in some line or be `known`."""
    query = Query(text)
    found = [line for line in lines if query.selects(line)]
    assert found, f"the query {name!r} finds nothing"
    there = {field for line in lines for field in line} | known
    assert query.fields() <= there, f"the query {name!r} reads {query.fields() - there}"
    return len(found)
