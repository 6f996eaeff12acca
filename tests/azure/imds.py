"""Azure's instance metadata service, as programs on a virtual machine see it at 169.254.169.254.

Every request needs the header `Metadata: true`, may not have come through a proxy, and names a version of the interface:
what is younger than that version is not in the document. The document is JSON as a whole and text at its leaves.
"""

import json
import urllib.parse

from web import Answer

VERSIONS = [
    "2017-03-01", "2017-04-02", "2017-08-01", "2017-10-01", "2017-12-01", "2018-02-01", "2018-04-02", "2018-10-01",
    "2019-02-01", "2019-03-11", "2019-04-30", "2019-06-01", "2019-06-04", "2019-08-01", "2019-08-15", "2019-11-01",
    "2020-06-01", "2020-07-15", "2020-09-01", "2020-10-01", "2020-12-01", "2021-01-01", "2021-02-01", "2021-03-01",
    "2021-05-01", "2021-08-01", "2021-10-01", "2021-11-01", "2021-11-15", "2021-12-13", "2023-07-01", "2023-11-15",
]
EVENT_VERSIONS = ["2017-08-01", "2017-11-01", "2019-01-01", "2019-04-01", "2019-08-01", "2020-07-01"]
# Since which version a key of `compute` exists; those not named are of the first one.
SINCE = {
    "tags": "2017-08-01", "resourceGroupName": "2017-08-01", "subscriptionId": "2017-08-01", "zone": "2017-12-01",
    "vmScaleSetName": "2017-12-01", "publicKeys": "2018-04-02", "azEnvironment": "2018-10-01", "provider": "2018-10-01",
    "customData": "2019-02-01", "resourceId": "2019-03-11", "storageProfile": "2019-06-01", "tagsList": "2019-06-04",
    "securityProfile": "2020-06-01", "osProfile": "2020-07-15", "userData": "2021-01-01",
}


def compute(d):
    """Yes and no are texts in this part; what is not known is the empty text."""
    trusted = "true" if d.securityType else "false"
    return {
        "azEnvironment": "AzurePublicCloud", "customData": "", "location": d.location, "name": d.name, "offer": "",
        "osProfile": {"adminUsername": d.adminUsername, "computerName": d.name,
                      "disablePasswordAuthentication": "false" if d.password else "true"},
        "osType": "Linux", "provider": "Microsoft.Compute",
        # The portal leaves line ends in keys.
        "publicKeys": [{"keyData": f"{key}\r\n", "path": f"/home/{d.adminUsername}/.ssh/authorized_keys"}
                       for key in d.publicKeys],
        "publisher": "", "resourceGroupName": "box",
        "resourceId": f"/subscriptions/{d.derived('subscription')}/resourceGroups/box/providers/"
                      f"Microsoft.Compute/virtualMachines/{d.name}",
        "securityProfile": {"secureBootEnabled": trusted, "securityType": d.securityType, "virtualTpmEnabled": trusted},
        "sku": "",
        "storageProfile": {
            "dataDisks": [{"caching": "None", "createOption": "Empty", "diskSizeGB": str(size), "lun": str(lun),
                           "name": f"data{lun}"} for lun, size in enumerate(d.dataDisks)],
            "osDisk": {"caching": "ReadWrite", "createOption": "FromImage", "diskSizeGB": "30", "name": "os",
                       "osType": "Linux"},
            "resourceDisk": {"size": "76800"}},
        "subscriptionId": d.derived("subscription"),
        "tags": ";".join(f"{name}:{value}" for name, value in d.tags.items()),
        "tagsList": [{"name": name, "value": value} for name, value in d.tags.items()],
        "userData": d.user_data, "version": "", "vmId": d.vmId, "vmScaleSetName": "", "vmSize": d.vmSize, "zone": "",
    }


def network(d):
    """As the box's DHCP has it."""
    return {"interface": [{
        "ipv4": {"ipAddress": [{"privateIpAddress": d.address, "publicIpAddress": ""}],
                 "subnet": [{"address": d.subnet, "prefix": "24"}]},
        "ipv6": {"ipAddress": []}, "macAddress": d.mac.replace(":", "").upper()}]}


def document(d, version, extended):
    instance = {"compute": {k: v for k, v in compute(d).items() if SINCE.get(k, "") <= version}, "network": network(d)}
    if extended:
        instance["extended"] = {"compute": {"hasCustomData": d.custom_data is not None, "ppsType": d.preprovisioned}}
    return instance


def refuse(reason, status=400, **more):
    return Answer(json.dumps({"error": reason, **more}), status, "application/json; charset=utf-8", complaint=reason)


def walk(value, path):
    """The part of the document at a path; None: there is none."""
    for step in filter(None, path.split("/")):
        if isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        elif isinstance(value, dict) and step in value:
            value = value[step]
        else:
            return None
    return value


def listing(value):
    keys = value if isinstance(value, dict) else map(str, range(len(value)))
    items = value.values() if isinstance(value, dict) else value
    return "\n".join(f"{k}/" if isinstance(v, (dict, list)) else k for k, v in zip(keys, items))


def show(value, form):
    if value is None:
        return refuse("Not found", 404)
    leaf = not isinstance(value, (dict, list))
    if form == "text":
        text = str(value) if leaf else listing(value)
        return Answer(text, 200, "text/plain; charset=utf-8")
    if leaf:
        return refuse("Bad request. A leaf has no form but text")
    return Answer(json.dumps(value), 200, "application/json; charset=utf-8")


class Imds:
    name = "imds"

    def __init__(self, description):
        self.description = description

    def instance(self, path, query):
        version = query.get("api-version", "")
        extended = query.get("extended") == "true"
        return show(walk(document(self.description, version, extended), path), query.get("format", "json"))

    def versions(self, _path, _query):
        return Answer(json.dumps({"apiVersions": VERSIONS}), 200, "application/json; charset=utf-8")

    def events(self, _path, _query):
        return Answer('{"DocumentIncarnation":1,"Events":[]}', 200, "application/json; charset=utf-8")

    def reprovision(self, _path, _query):
        """Only a machine from a pool has another one to become."""
        return refuse("Not found", 404)

    def token(self, _path, _query):
        return refuse("invalid_request", error_description="Identity not found")

    ROUTES = (  # path, method, versions of the interface (None: it takes none)
        ("/metadata/instance", instance, VERSIONS),
        ("/metadata/scheduledevents", events, EVENT_VERSIONS),
        ("/metadata/reprovisiondata", reprovision, VERSIONS),
        ("/metadata/identity/oauth2/token", token, ["2018-02-01", *VERSIONS]),
        ("/metadata/versions", versions, None),
    )

    def answer(self, request):
        target = urllib.parse.urlsplit(request.target)
        query = dict(urllib.parse.parse_qsl(target.query, keep_blank_values=True))
        if request.header("Metadata").lower() != "true":
            return refuse("Bad request. Required metadata header not specified")
        if request.header("X-Forwarded-For"):
            return refuse("Bad request. The request came through a proxy")
        if request.method != "GET":
            return refuse("Method not allowed", 405)
        for path, method, versions in self.ROUTES:
            if target.path == path or target.path.startswith(path + "/"):
                if versions and query.get("api-version") not in versions:
                    return refuse("Bad request. api-version was not specified, or is none",
                                  **{"newest-versions": versions[:-4:-1]})
                return method(self, target.path[len(path):], query)
        return refuse("Not found", 404)
