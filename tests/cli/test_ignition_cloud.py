#!/usr/bin/env python3
"""Objects in clouds' storage: s3:, arn:, gs: and Azure's blobs, anonymously and as whom the instance may read.

The clouds are servers here: their names lead to this machine, in a namespace of its own, and a metadata service has
its usual address. Signatures are checked by computing them."""

import hashlib
import hmac
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import servers
import slipway
from servers import Reply, Web

TOOL = slipway.PROGRAMS / "tests" / "tools" / "ignition-fetch"
METADATA = "169.254.169.254"
ID, SECRET, SESSION = "AKIDEXAMPLE", "secret/with+signs=", "session-token=="
NAMES = ["s3.dualstack.us-east-1.amazonaws.com", "s3.dualstack.eu-west-1.amazonaws.com",
         "s3.dualstack.cn-north-1.amazonaws.com.cn", "bucket.s3.dualstack.eu-west-1.amazonaws.com",
         "bucket.s3.dualstack.cn-north-1.amazonaws.com.cn",
         "point-123.s3-accesspoint.dualstack.eu-west-1.amazonaws.com", "storage.googleapis.com",
         "account.blob.core.windows.net"]


def lead_names_here(directory):
    """All names are this machine's; nobody asks a name server."""
    path = directory / "hosts"
    path.write_text("".join(f"127.0.0.1 {name}\n" for name in ["localhost", *NAMES]))
    subprocess.run(["mount", "--bind", str(path), "/etc/hosts"], check=True)


def signature(request, region):
    """What the Authorization of an AWS request has to be (Signature Version 4)."""
    path, _, query = request.path.partition("?")
    fields = request.header("Authorization").partition(" ")[2].split(",")
    signed = dict(field.strip().split("=", 1) for field in fields)["SignedHeaders"]
    time = request.header("x-amz-date")
    scope = f"{time[:8]}/{region}/s3/aws4_request"
    headers = "".join(f"{name}:{' '.join(request.header(name).split())}\n" for name in signed.split(";"))
    canonical = "\n".join([request.method, path, query, headers, signed, hashlib.sha256(b"").hexdigest()])
    text = "\n".join(["AWS4-HMAC-SHA256", time, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + SECRET).encode()
    for part in (*scope.split("/"), text):
        key = hmac.new(key, part.encode(), "sha256").digest()
    return signed.split(";"), f"Credential={ID}/{scope}", f"Signature={key.hex()}"


class CloudTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.authority = servers.Authority(cls.directory)
        cls.issued = cls.authority.issue(*NAMES)
        lead_names_here(cls.directory)
        cls.addClassCleanup(subprocess.run, ["umount", "/etc/hosts"], check=True)

    def cloud(self, routes):
        """The storage: routes by host and path."""
        def answer(request):
            found = routes.get(request.header("Host") + request.path, Reply(status=404))
            return found(request) if callable(found) else found
        web = Web(port=443, tls=self.issued)
        web.routes = type("Any", (dict,), {"get": lambda self, path, default=None: answer})()
        return self.enterContext(web)

    def metadata(self, routes):
        return self.enterContext(Web(routes, host=METADATA, port=80))

    def get(self, platform, url):
        return subprocess.run([str(TOOL), platform, url], capture_output=True, timeout=slipway.PATIENCE,
                              env={**os.environ, "SSL_CERT_FILE": str(self.authority.certificate)})

    def gets(self, platform, url, content):
        done = self.get(platform, url)
        self.assertEqual((done.returncode, done.stdout), (0, content), done.stderr)


class S3(CloudTest):
    REGION = {"s3.dualstack.us-east-1.amazonaws.com/bucket":
              Reply(status=403, headers={"x-amz-bucket-region": "eu-west-1"})}
    ROLE = {"/latest/api/token": lambda request: Reply(b"imds", 200 if request.method == "PUT" else 405),
            "/latest/meta-data/placement/region": b"us-east-1",
            "/latest/meta-data/iam/security-credentials/": b"the-role",
            "/latest/meta-data/iam/security-credentials/the-role": json.dumps(
                {"Code": "Success", "AccessKeyId": ID, "SecretAccessKey": SECRET, "Token": SESSION}).encode()}

    def test_anonymously(self):
        cloud = self.cloud({**self.REGION, "bucket.s3.dualstack.eu-west-1.amazonaws.com/a/b%20c": b"object"})
        self.gets("metal", "s3://bucket/a/b%20c", b"object")
        self.assertEqual([request.method for request in cloud.requests], ["HEAD", "GET"])
        self.assertIsNone(cloud.requests[1].header("Authorization"))

    def test_version(self):
        self.cloud({**self.REGION, "bucket.s3.dualstack.eu-west-1.amazonaws.com/a?versionId=v1": b"older"})
        self.gets("metal", "arn:aws:s3:::bucket/a?versionId=v1", b"older")

    def test_bucket_of_another_partition(self):
        self.cloud({"s3.dualstack.cn-north-1.amazonaws.com.cn/bucket":
                    Reply(status=301, headers={"x-amz-bucket-region": "cn-north-1"}),
                    "bucket.s3.dualstack.cn-north-1.amazonaws.com.cn/a": b"far"})
        self.gets("metal", "s3://bucket/a", b"far")
        self.gets("metal", "arn:aws-cn:s3:::bucket/a", b"far")

    def test_region_that_is_no_name(self):
        cloud = self.cloud({"s3.dualstack.us-east-1.amazonaws.com/bucket":
                            Reply(headers={"x-amz-bucket-region": "x.example/"})})
        done = self.get("metal", "s3://bucket/a")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"does not tell the bucket's region", done.stderr)
        self.assertEqual(len(cloud.requests), 1)

    def check_signature(self, request, region):
        signed, credential, value = signature(request, region)
        self.assertIn(credential, request.header("Authorization"))
        self.assertIn(value, request.header("Authorization"))
        self.assertLessEqual({"host", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"}, set(signed))
        self.assertEqual(request.header("x-amz-security-token"), SESSION)

    def test_as_the_instance_may(self):
        metadata = self.metadata(self.ROLE)
        cloud = self.cloud({**self.REGION, "bucket.s3.dualstack.eu-west-1.amazonaws.com/a/b%20c?versionId=v": b"own"})
        self.gets("aws", "s3://bucket/a/b%20c?versionId=v", b"own")
        self.assertIsNone(cloud.requests[0].header("Authorization"))
        self.check_signature(cloud.requests[1], "eu-west-1")
        self.assertTrue(all(request.header("X-aws-ec2-metadata-token") == "imds" for request in metadata.requests[1:]))

    def test_access_point(self):
        self.metadata(self.ROLE)
        cloud = self.cloud({"point-123.s3-accesspoint.dualstack.eu-west-1.amazonaws.com/a": b"own"})
        self.gets("aws", "arn:aws:s3:eu-west-1:123:accesspoint/point/object/a", b"own")
        self.check_signature(cloud.requests[0], "eu-west-1")

    def test_instance_without_role(self):
        self.metadata({path: reply for path, reply in self.ROLE.items() if "iam" not in path})
        cloud = self.cloud({**self.REGION, "bucket.s3.dualstack.eu-west-1.amazonaws.com/a": b"open"})
        self.gets("aws", "s3://bucket/a", b"open")
        self.assertIsNone(cloud.requests[1].header("Authorization"))

    def test_refused(self):
        self.cloud({**self.REGION, "bucket.s3.dualstack.eu-west-1.amazonaws.com/a": Reply(b"no", 403)})
        done = self.get("metal", "s3://bucket/a")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"bucket.s3.dualstack.eu-west-1.amazonaws.com/a: attempt 1: HTTP status 403", done.stderr)


class Google(CloudTest):
    OBJECT = "storage.googleapis.com/storage/v1/b/bucket/o/a%2Fb?alt=media"
    TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token"

    def test_anonymously(self):
        cloud = self.cloud({self.OBJECT: b"object"})
        self.gets("metal", "gs://bucket/a/b", b"object")
        self.assertIsNone(cloud.requests[0].header("Authorization"))

    def test_as_the_instance_may(self):
        metadata = self.metadata({self.TOKEN: b'{"access_token": "t0ken", "expires_in": 100}'})
        cloud = self.cloud({self.OBJECT: b"object"})
        self.gets("gcp", "gs://bucket/a/b", b"object")
        self.assertEqual(metadata.requests[0].header("Metadata-Flavor"), "Google")
        self.assertEqual(cloud.requests[0].header("Authorization"), "Bearer t0ken")

    def test_instance_without_account(self):
        for reply in (Reply(status=404), b"{}", b"no JSON", b'{"access_token": 1}', b'{"access_token": "a\\nb"}'):
            with self.subTest(reply), Web({self.TOKEN: reply}, host=METADATA, port=80):
                cloud = self.cloud({self.OBJECT: b"object"})
                self.gets("gcp", "gs://bucket/a/b", b"object")
                self.assertIsNone(cloud.requests[0].header("Authorization"))
            self.doCleanups()


class Azure(CloudTest):
    BLOB = "account.blob.core.windows.net/container/a"
    TOKEN = ("/metadata/identity/oauth2/token?api-version=2018-02-01&resource=" +
             urllib.parse.quote("https://storage.azure.com/", safe=""))

    def test_as_the_instance_may(self):
        metadata = self.metadata({self.TOKEN: b'{"access_token": "t0ken"}'})
        cloud = self.cloud({self.BLOB: b"blob"})
        self.gets("azure", f"https://{self.BLOB}", b"blob")
        self.assertEqual(metadata.requests[0].header("Metadata"), "true")
        self.assertEqual(cloud.requests[0].header("Authorization"), "Bearer t0ken")
        self.assertTrue(cloud.requests[0].header("x-ms-version"))

    def test_token_that_is_refused(self):
        self.metadata({self.TOKEN: b'{"access_token": "t0ken"}'})
        cloud = self.cloud({self.BLOB: lambda r: Reply(b"no", 403) if r.header("Authorization") else b"open"})
        self.gets("azure", f"https://{self.BLOB}", b"open")
        self.assertEqual(len(cloud.requests), 2)

    def test_elsewhere_nobody_is_asked(self):
        metadata = self.metadata({self.TOKEN: b'{"access_token": "t0ken"}'})
        cloud = self.cloud({self.BLOB: b"blob"})
        self.gets("metal", f"https://{self.BLOB}", b"blob")
        self.assertIsNone(cloud.requests[0].header("Authorization"))
        self.assertEqual(metadata.requests, [])


if __name__ == "__main__":
    servers.enter_namespace(METADATA)
    unittest.main()
