"""Azure's fabric at 168.63.129.16, as agents on a virtual machine speak with it: goal state and health in XML, and
the newer health report in JSON.

A report is taken only when it is exactly what the contract says: headers, incarnation, container, instance, state. What
was taken is in `reports`; everything else is answered with the reason, which the record keeps.
"""

import json
import urllib.parse
import xml.etree.ElementTree as ElementTree
from xml.sax.saxutils import escape, quoteattr

from web import Answer

PROTOCOL = "2012-11-30"
PROTOCOLS = ("2015-04-05", PROTOCOL, "2012-09-15", "2012-05-15", "2011-12-31")
DESCRIPTION_MAX = 512
XML = "text/xml; charset=utf-8"
HEAD = '\ufeff<?xml version="1.0" encoding="utf-8"?>\n'
SUBSTATES = ("Provisioning", "ProvisioningFailed")
# What a goal state refers to; certificates only where there are any, and the box has none.
CONFIGS = ("hostingEnvironmentConfig", "sharedConfig", "extensionsConfig", "fullConfig")


class Refused(Exception):
    def __init__(self, reason, status=400):
        super().__init__(reason)
        self.status = status


def demand(condition, reason, status=400):
    if not condition:
        raise Refused(reason, status)


def xml(text):
    return Answer(HEAD + text, 200, XML)


class WireServer:
    name = "wire"

    def __init__(self, description):
        self.description = description
        self.reports = []  # (protocol, state, details)

    # ---- what is asked ----

    def url(self, kind, incarnation):
        d = self.description
        return (f"http://168.63.129.16:80/machine/{d.derived('container')}/{d.instance_id()}?comp=config&type={kind}"
                f"&incarnation={incarnation}")

    def goal_state(self, request, _path, _query):
        d = self.description
        incarnation = request.incarnation or d.incarnation
        links = "".join(f"<{kind[0].upper()}{kind[1:]}>{escape(self.url(kind, incarnation))}"
                        f"</{kind[0].upper()}{kind[1:]}>" for kind in CONFIGS)
        return xml(
            '<GoalState xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
            'xsi:noNamespaceSchemaLocation="goalstate10.xsd">'
            f"<Version>{PROTOCOL}</Version><Incarnation>{incarnation}</Incarnation>"
            "<Machine><ExpectedState>Started</ExpectedState><StopRolesDeadlineHint>300000</StopRolesDeadlineHint>"
            "<LBProbePorts><Port>16001</Port></LBProbePorts><ExpectHealthReport>FALSE</ExpectHealthReport></Machine>"
            f"<Container><ContainerId>{d.derived('container')}</ContainerId><RoleInstanceList><RoleInstance>"
            f"<InstanceId>{escape(d.instance_id())}</InstanceId><State>Started</State><Configuration>{links}"
            f"<ConfigName>{escape(d.instance_id())}.1.xml</ConfigName></Configuration></RoleInstance>"
            "</RoleInstanceList></Container></GoalState>")

    def config(self, _request, path, query):
        d = self.description
        demand(path == f"/machine/{d.derived('container')}/{d.instance_id()}", "no such machine", 404)
        demand(query.get("type") in CONFIGS, "no such configuration", 404)
        demand(query.get("incarnation") == str(d.incarnation), "the goal state is an older one", 410)
        return xml(getattr(self, "config_" + query["type"])())

    def config_sharedConfig(self):
        d, instance = self.description, quoteattr(self.description.instance_id())
        return (f'<SharedConfig version="1.0.0.0" goalStateIncarnation="{d.incarnation}">'
                f'<Deployment name="{d.derived("deployment")}" guid="{{{d.derived("deployment")}}}" '
                f'incarnation="0" isNonCancellableTopologyChangeEnabled="false"/>'
                f'<Incarnation number="{d.incarnation}" instance={instance} guid="{{{d.derived("container")}}}"/>'
                f'<Role guid="{{{d.derived("role")}}}" name={quoteattr("_" + d.name)} settleTimeSeconds="0"/>'
                f'<Instances><Instance id={instance} address="{d.address}"><FaultDomains randomId="0" updateId="0" '
                'updateCount="0"/><InputEndpoints><Endpoint name="SSH" address="' + d.address +
                ':22" protocol="tcp" isPublic="true" loadBalancedPublicAddress="203.0.113.7:22" '
                'isDirectAddress="false" disableStealthMode="false"/></InputEndpoints></Instance></Instances>'
                '</SharedConfig>')

    def config_hostingEnvironmentConfig(self):
        d = self.description
        return (f'<HostingEnvironmentConfig version="1.0.0.0" goalStateIncarnation="{d.incarnation}">'
                f'<StoredCertificates/><Deployment name="{d.derived("deployment")}"/>'
                f'<Incarnation number="{d.incarnation}" instance={quoteattr(d.instance_id())}/>'
                f'<Role name={quoteattr("_" + d.name)} hostingEnvironmentVersion="1"/></HostingEnvironmentConfig>')

    def config_extensionsConfig(self):
        return (f'<Extensions version="1.0.0.0" goalStateIncarnation="{self.description.incarnation}">'
                "<Plugins/><PluginSettings/></Extensions>")

    def config_fullConfig(self):
        return "<FullConfig/>"

    def versions(self, _request, _path, _query):
        supported = "".join(f"<Version>{version}</Version>" for version in PROTOCOLS)
        return xml(f"<Versions><Preferred><Version>{PROTOCOLS[0]}</Version></Preferred>"
                   f"<Supported>{supported}</Supported></Versions>")

    def telemetry(self, _request, _path, _query):
        return Answer()

    # ---- what is reported ----

    def health(self, request, _path, _query):
        d = self.description
        demand(request.header("Content-Type").lower().replace(" ", "") == "text/xml;charset=utf-8",
               "Content-Type is not text/xml; charset=utf-8")
        try:
            root = ElementTree.fromstring(request.body)
        except ElementTree.ParseError as e:
            raise Refused(f"not XML: {e}") from None
        demand(root.tag == "Health", f"the root is {root.tag}, not Health")
        roles = root.findall("Container/RoleInstanceList/Role")
        demand(len(roles) == 1, f"{len(roles)} roles")
        demand(root.findtext("Container/ContainerId") == d.derived("container"), "another ContainerId")
        demand(roles[0].findtext("InstanceId") == d.instance_id(), "another InstanceId")
        demand(root.findtext("GoalStateIncarnation") == str(d.incarnation), "the goal state is an older one", 410)
        self.take("xml", roles[0].findtext("Health/State"), roles[0].findtext("Health/Details/SubStatus"),
                  roles[0].findtext("Health/Details/Description"))
        return Answer()

    def health_json(self, request, _path, _query):
        demand(request.header("Content-Type").partition(";")[0].strip() == "application/json",
               "Content-Type is not application/json")
        demand(request.header("x-ms-guest-agent-name"), "no x-ms-guest-agent-name")
        demand(request.header("User-Agent"), "no User-Agent")
        try:
            report = json.loads(request.body)
        except ValueError as e:
            raise Refused(f"not JSON: {e}") from None
        demand(isinstance(report, dict) and set(report) <= {"state", "details"}, "not a report")
        details = report.get("details") or {}
        demand(isinstance(details, dict) and set(details) <= {"subStatus", "description"}, "not details of a report")
        self.take("json", report.get("state"), details.get("subStatus"), details.get("description"))
        return Answer(status=201)

    def take(self, protocol, state, substate, description):
        demand(state in ("Ready", "NotReady"), f"{state} is no state")
        if state == "NotReady":
            demand(substate in SUBSTATES, f"{substate} is no state of provisioning")
            demand(description and len(description) <= DESCRIPTION_MAX,
                   f"a description of {len(description or '')} characters")
        self.reports.append((protocol, state, description))

    ROUTES = (  # method, path or prefix, comp, what answers, whether the classic headers are demanded
        ("GET", "/", "versions", versions, False),
        ("GET", "/machine/", "goalstate", goal_state, True),
        ("GET", "/machine/", "config", config, True),
        ("POST", "/machine/", "health", health, True),
        ("POST", "/machine/", "telemetrydata", telemetry, True),
        ("POST", "/provisioning/health", None, health_json, False),
    )

    def answer(self, request):
        target = urllib.parse.urlsplit(request.target)
        query = dict(urllib.parse.parse_qsl(target.query, keep_blank_values=True))
        for method, path, comp, serve, classic in self.ROUTES:
            fits = (target.path + "/").startswith(path) if comp == "config" else \
                target.path.rstrip("/") == path.rstrip("/")
            if not fits or query.get("comp") != comp or request.method != method:
                continue
            try:
                if classic:
                    demand(request.header("x-ms-version") == PROTOCOL, f"x-ms-version is not {PROTOCOL}")
                    demand(request.header("x-ms-agent-name"), "no x-ms-agent-name")
                return serve(self, request, target.path, query)
            except Refused as refused:
                return Answer(str(refused), refused.status, "text/plain", complaint=str(refused))
        return Answer("", 404, complaint="Not found")
