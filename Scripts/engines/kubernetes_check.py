"""Checks Kubernetes manifests and takes apart what stands in them.

    kubernetes_check.py validate VERSION FILE      against the published schemas, strictly
    kubernetes_check.py value KIND/NAME PATH FILE  prints one value, PATH as in spec/template/0
    kubernetes_check.py mount KIND/NAME KEYS DIRECTORY FILE
                                                   lays the keys out as kubelet does for the pod
"""

import os
import sys

import yaml

_VOLUME_KINDS = {"configMap": ("ConfigMap", "name"), "secret": ("Secret", "secretName")}
# Made by kubectl create secret.
_MADE_BY_HAND = {("Secret", "convoy-keys")}


def documents(path: str) -> list[dict]:
    with open(path, encoding="utf-8") as file:
        return [document for document in yaml.safe_load_all(file) if document]


def value(path: str, name: str, steps: str):
    """What stands at a path of the document KIND/NAME."""
    kind, _, wanted = name.partition("/")
    found = next(
        document
        for document in documents(path)
        if document["kind"] == kind and document["metadata"]["name"] == wanted
    )
    for step in steps.split("/"):
        found = found[int(step)] if isinstance(found, list) else found[step]
    return found


def validate(version: str, path: str) -> None:
    """Each document is valid, and what it refers to is there."""
    import kubernetes_validate

    every = documents(path)
    names = {(one["kind"], one["metadata"]["name"]) for one in every} | _MADE_BY_HAND
    for document in every:
        kubernetes_validate.validate(document, version, strict=True)
        template = document.get("spec", {}).get("template")
        if template is None:
            continue
        where = f"{document['kind']}/{document['metadata']['name']}"
        labels = template["metadata"]["labels"]
        selector = document["spec"].get("selector", {}).get("matchLabels", {})
        assert selector.items() <= labels.items(), f"{where}: its selector misses its pods"
        check_pod(where, template["spec"], document["spec"].get("volumeClaimTemplates", []), names)
    service = next(one for one in every if one["kind"] == "Service")
    selected = [
        document
        for document in every
        if (template := document.get("spec", {}).get("template"))
        and service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    ]
    assert len(selected) == 1, "the service must select the pods of the coordinator"


def check_pod(where: str, pod: dict, claims: list[dict], names: set[tuple[str, str]]) -> None:
    """Volumes lead somewhere, mounts have volumes, and nothing runs as root."""
    volumes = {claim["metadata"]["name"] for claim in claims}
    for volume in pod["volumes"]:
        volumes.add(volume["name"])
        for key, (kind, field) in _VOLUME_KINDS.items():
            if key in volume:
                assert (kind, volume[key][field]) in names, f"{where}: no {kind} {volume[key]}"
    assert pod["securityContext"]["runAsNonRoot"], where
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"], where
        assert not security["allowPrivilegeEscalation"], where
        for mount in container["volumeMounts"]:
            assert mount["name"] in volumes, f"{where}: no volume {mount['name']}"


def mount(name: str, keys: str, directory: str, path: str) -> None:
    """Files of the secret, made from the files of KEYS, with owner and mode that fsGroup gives."""
    pod = value(path, name, "spec/template/spec")
    group = pod["securityContext"]["fsGroup"]
    volume = next(one["secret"] for one in pod["volumes"] if one["name"] == "keys")
    # The files are in a directory that a link names, so that all change at once.
    content = os.path.join(directory, "..1")
    for item in volume["items"]:
        target = os.path.join(content, item["path"])
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(os.path.join(keys, item["key"]), "rb") as source, open(target, "wb") as file:
            file.write(source.read())
    for place, _, files in os.walk(content):
        os.chown(place, 0, group)
        os.chmod(place, 0o2755)
        for file in files:
            os.chown(os.path.join(place, file), 0, group)
            os.chmod(os.path.join(place, file), volume["defaultMode"] | 0o440)
    os.symlink("..1", os.path.join(directory, "..data"))
    for entry in os.listdir(content):
        os.symlink(os.path.join("..data", entry), os.path.join(directory, entry))
    os.chown(directory, 0, group)
    os.chmod(directory, 0o3777)


if __name__ == "__main__":
    if sys.argv[1] == "validate":
        validate(*sys.argv[2:])
    elif sys.argv[1] == "mount":
        mount(*sys.argv[2:])
    else:
        print(value(sys.argv[4], *sys.argv[2:4]))
