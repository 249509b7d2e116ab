"""The recipes for cron, systemd, Kubernetes, Docker and orchestrators fit the product.

They were run by hand, by whom they are for (docs/orchestrators.md); here is what can be known of
them without any of that: they can be read, what they call exists, what they promise is in them.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import reverse_etl
from reverse_etl.cli import app, scheduling
from reverse_etl.config.schema import EngineConfig
from reverse_etl.report import WORST_FIRST, RunSummary

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
RECIPES = {
    "airflow": EXAMPLES / "airflow" / "reverse_etl_dag.py",
    "dagster": EXAMPLES / "dagster" / "reverse_etl_assets.py",
    "prefect": EXAMPLES / "prefect" / "reverse_etl_flow.py",
}
CRONTAB = EXAMPLES / "cron" / "reverse-etl.crontab"
UNITS = EXAMPLES / "systemd"
SERVICES = ("reverse-etl.service", "reverse-etl-due.service")
CRONJOB = EXAMPLES / "kubernetes" / "cronjob.yaml"
DEPLOYMENT = EXAMPLES / "kubernetes" / "deployment.yaml"
DOCKERFILE = EXAMPLES / "docker" / "Dockerfile"
PAGE = ROOT / "docs" / "orchestrators.md"
FILES = sorted(
    file
    for folder in ("airflow", "cron", "dagster", "docker", "kubernetes", "prefect", "systemd")
    for file in (EXAMPLES / folder).iterdir()
    if file.is_file()
)
SHUTDOWN_SECONDS = EngineConfig().shutdown_seconds

Unit = dict[str, list[str]]


# --- reading them --------------------------------------------------------------------------


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def constants(path: Path) -> dict[str, Any]:
    """The constants of a recipe, which cannot be imported without its orchestrator."""
    found = {}
    for statement in ast.parse(read(path)).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                found[statement.targets[0].id] = ast.literal_eval(statement.value)
            except ValueError:
                continue
    return found


def attributes(path: Path, of: str) -> set[str]:
    return {
        node.attr
        for node in ast.walk(ast.parse(read(path)))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == of
    }


def unit(name: str) -> Unit:
    """The settings of a unit, by ``Section.Key``; a key may stand there more than once."""
    section, found = "", defaultdict(list)
    for line in read(UNITS / name).splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found[f"{section}.{key}"].append(value)
    return dict(found)


def cron_lines(*, also_commented: bool = False) -> list[str]:
    start = r"^(?:# )?" if also_commented else "^"
    return re.findall(rf"{start}\*/5 \* \* \* \*  reverse-etl  (.+)$", read(CRONTAB), re.MULTILINE)


def pod(path: Path) -> dict[str, Any]:
    """The pod that a CronJob or a Deployment makes."""
    document = yaml.safe_load(read(path))
    spec = document["spec"]
    outer = spec["jobTemplate"]["spec"] if document["kind"] == "CronJob" else spec
    found: dict[str, Any] = outer["template"]["spec"]
    return found


def container(path: Path) -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = pod(path)["containers"]
    return found


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, each with what it is given."""
    lines = [line for line in read(DOCKERFILE).splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [
        (word, rest)
        for word, _, rest in (line.partition(" ") for line in joined.split("\n"))
        if word
    ]


def given(instruction: str) -> list[str]:
    return [rest for word, rest in instructions() if word == instruction]


# --- what they call ------------------------------------------------------------------------


def calls() -> dict[str, list[str]]:
    """Each call of the command in the recipes, as words after its name."""
    found = {}
    for number, line in enumerate(cron_lines(also_commented=True)):
        found[f"cron {number}"] = shlex.split(after_name(line))
    for name in SERVICES:
        (start,) = unit(name)["Service.ExecStart"]
        found[name] = shlex.split(after_name(start))
    found["cronjob"] = shlex.split(after_name(container(CRONJOB)["command"][-1]))
    found["deployment"] = container(DEPLOYMENT)["args"]
    found["image"] = json.loads(given("CMD")[0])
    found["airflow"] = call_of_the_dag()
    return found


def call_of_the_dag() -> list[str]:
    """The list that it starts, without the program; where a name stands it has a sync."""
    (command,) = [
        node.value
        for node in ast.walk(ast.parse(read(RECIPES["airflow"])))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "command"
    ]
    assert isinstance(command, ast.List)
    return [
        str(word.value) if isinstance(word, ast.Constant) else "vip_customers"
        for word in command.elts[1:]
    ]


def after_name(text: str) -> str:
    """The words of a command line from the command on, up to what is the shell's."""
    (words,) = re.findall(r"\breverse-etl ([a-z-]+(?: -{1,2}[a-z-]+| [\w.]+)*)(?=$| [\d>&|])", text)
    found: str = words
    return found


def test_the_calls_are_found() -> None:
    named = {name: words[0] for name, words in calls().items()}
    assert named == {
        "cron 0": "run-due",
        "cron 1": "run-due",
        "reverse-etl.service": "serve",
        "reverse-etl-due.service": "run-due",
        "cronjob": "run-due",
        "deployment": "serve",
        "image": "serve",
        "airflow": "run-sync",
    }


@pytest.mark.parametrize("name", sorted(calls()))
def test_a_call_is_one_that_the_command_line_takes(name: str) -> None:
    command, *arguments = calls()[name]
    group: Any = typer.main.get_command(app._app())
    group.commands[command].make_context(command, arguments)  # an unknown option is an error


# --- orchestrators -------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_does_with_an_exit_code_what_the_page_says(name: str) -> None:
    held = constants(RECIPES[name])
    done, tried_again = held["DONE"], held["TRIED_AGAIN"]
    rows = re.findall(r"^\| ([\d, ]+) \| [^|]+ \| ([^|]+) \|", read(PAGE), re.MULTILINE)
    said = {int(code): what for codes, what in rows for code in codes.split(",")}
    assert set(said) == set(WORST_FIRST)
    assert {code for code, what in said.items() if what.startswith("go on")} == done
    assert {code for code, what in said.items() if what.startswith("try again")} == tried_again
    waits = {code for code, what in said.items() if what.startswith("fail")}
    assert waits == set(WORST_FIRST) - done - tried_again


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_uses_the_public_names_only(name: str) -> None:
    path = RECIPES[name]
    assert attributes(path, "reverse_etl") <= set(reverse_etl.__all__)
    assert attributes(path, "summary") <= set(dir(RunSummary("vip_customers")))
    imported = {
        node.module
        for node in ast.walk(ast.parse(read(path)))
        if isinstance(node, ast.ImportFrom) and node.module
    }
    assert not any(module.startswith("reverse_etl") for module in imported)


def test_the_dag_keeps_counts_that_exist_and_nothing_that_names_people() -> None:
    counts = constants(RECIPES["airflow"])["COUNTS"]
    assert set(counts) <= set(RunSummary("vip_customers").document())
    assert "error" not in counts


def test_the_dag_runs_once_at_a_time_and_never_for_hours_that_are_gone() -> None:
    (decorator,) = [
        one
        for function in ast.parse(read(RECIPES["airflow"])).body
        if isinstance(function, ast.FunctionDef)
        for one in function.decorator_list
        if isinstance(one, ast.Call)
    ]
    arguments = {each.arg: each.value for each in decorator.keywords}
    assert ast.literal_eval(arguments["catchup"]) is False
    assert ast.literal_eval(arguments["max_active_runs"]) == 1


def test_dagster_can_read_the_annotation_of_its_context() -> None:
    assert "from __future__ import annotations" not in read(RECIPES["dagster"]).splitlines()


def test_the_example_of_the_page_uses_what_there_is() -> None:
    (text,) = re.findall(r"```python\n(.+?)```", read(PAGE), re.DOTALL)
    used = re.findall(r"\breverse_etl\.(\w+)", text)
    assert len(used) > 1
    assert set(used) <= set(reverse_etl.__all__)
    compile(text, str(PAGE), "exec")
    read_of_it = set(re.findall(r"\bsummary\.(\w+)", text))
    assert read_of_it <= set(dir(RunSummary("vip_customers")))


def test_the_page_leads_to_every_recipe() -> None:
    text = read(PAGE)
    leads_to = set(re.findall(r"\]\(\.\./examples/([^)]+)\)", text))
    folders = {file.parent.name for file in FILES}
    assert {link.split("/")[0] for link in leads_to} == folders


# --- cron ----------------------------------------------------------------------------------


def test_the_line_of_cron_is_one_that_cron_reads_whole() -> None:
    (line,) = cron_lines()
    assert "%" not in line  # cron would end the line there
    assert "flock" not in line
    assert ">/dev/null 2>>" in line
    settings = dict(re.findall(r"^([A-Z_]+)=(.+)$", read(CRONTAB), re.MULTILINE))
    assert {"MAILTO", "PATH", "REVERSE_ETL_CONFIG", "SHELL"} <= set(settings)
    assert read(CRONTAB).endswith("\n")  # cron passes over a last line without its end


# --- systemd -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_few_rights_and_time_to_end(name: str) -> None:
    service = unit(name)
    assert service["Service.User"] == ["reverse-etl"]
    assert service["Service.EnvironmentFile"] == ["-/etc/reverse-etl/environment"]
    assert float(service["Service.TimeoutStopSec"][0]) > SHUTDOWN_SECONDS
    assert "143" in service["Service.SuccessExitStatus"][0].split()
    assert service["Service.ProtectSystem"] == ["strict"]
    assert service["Service.StateDirectory"] == ["reverse-etl"]
    for word in ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome"):
        assert service[f"Service.{word}"] == ["yes"]
    assert service["Service.CapabilityBoundingSet"] == [""]


def test_the_two_services_are_guarded_alike() -> None:
    heading = "# /var/lib/reverse-etl is its own"
    serve, due = (read(UNITS / name).partition(heading)[2] for name in SERVICES)
    assert serve.partition("[Install]")[0].rstrip() == due.rstrip()
    assert due


def test_the_scheduler_starts_again_unless_its_config_cannot_be_used() -> None:
    service = unit("reverse-etl.service")
    assert service["Service.Restart"] == ["on-failure"]
    assert service["Service.RestartPreventExitStatus"] == ["2"]
    assert service["Install.WantedBy"] == ["multi-user.target"]


def test_the_timer_starts_a_service_that_ends() -> None:
    assert (UNITS / "reverse-etl-due.timer").is_file()
    timer, service = unit("reverse-etl-due.timer"), unit("reverse-etl-due.service")
    assert timer["Timer.OnCalendar"] == ["*:0/5"]
    assert timer["Install.WantedBy"] == ["timers.target"]
    assert service["Service.Type"] == ["oneshot"]
    # The brake names people there.
    assert service["Service.StandardOutput"] == ["null"]
    assert "Service.Restart" not in service


# --- Kubernetes ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", [CRONJOB, DEPLOYMENT], ids=["cronjob", "deployment"])
def test_a_pod_has_few_rights_and_time_to_end(path: Path) -> None:
    made, runs = pod(path), container(path)
    assert made["terminationGracePeriodSeconds"] > SHUTDOWN_SECONDS
    assert made["automountServiceAccountToken"] is False
    assert made["securityContext"]["runAsNonRoot"] is True
    assert made["securityContext"]["runAsUser"] == int(given("USER")[0].split(":")[0])
    assert runs["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"requests", "limits"} <= set(runs["resources"])
    assert runs["envFrom"] == [{"secretRef": {"name": "reverse-etl"}}]
    mounts = {mount["name"]: mount["mountPath"] for mount in runs["volumeMounts"]}
    assert mounts == {"config": "/config", "tmp": "/tmp"}  # noqa: S108 - of the container
    kinds = {volume["name"]: set(volume) - {"name"} for volume in made["volumes"]}
    assert kinds == {"config": {"configMap"}, "tmp": {"emptyDir"}}
    # One file alone (subPath) would never change in a running container.
    assert all("subPath" not in mount for mount in runs["volumeMounts"])
    (variable,) = runs["env"]
    assert variable == {"name": "REVERSE_ETL_CONFIG", "value": "/config/config.yaml"}


def test_the_cronjob_leaves_what_failed_to_its_next_call() -> None:
    document = yaml.safe_load(read(CRONJOB))
    spec = document["spec"]
    assert (document["apiVersion"], document["kind"]) == ("batch/v1", "CronJob")
    assert spec["schedule"] == "*/5 * * * *"
    assert spec["concurrencyPolicy"] == "Forbid"
    assert 10 <= spec["startingDeadlineSeconds"] <= 300
    assert spec["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert pod(CRONJOB)["restartPolicy"] == "Never"
    # exec: the signal is for the command, not for a shell that would swallow it.
    assert container(CRONJOB)["command"][:2] == ["sh", "-c"]
    assert container(CRONJOB)["command"][2].startswith("exec ")


def test_the_deployment_is_one_scheduler_whose_health_is_asked_for() -> None:
    document = yaml.safe_load(read(DEPLOYMENT))
    spec, runs = document["spec"], container(DEPLOYMENT)
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    # Pods of the CronJob are not its own.
    other = yaml.safe_load(read(CRONJOB))["spec"]["jobTemplate"]["spec"]["template"]["metadata"]
    assert not spec["selector"]["matchLabels"].items() <= other["labels"].items()
    (port,) = runs["ports"]
    for probe in ("livenessProbe", "readinessProbe"):
        assert runs[probe]["httpGet"] == {"path": "/healthz", "port": port["name"]}
    annotations = spec["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] == "/metrics"
    assert annotations["prometheus.io/port"] == str(port["containerPort"])
    assert runs["args"][runs["args"].index("--port") + 1] == str(port["containerPort"])


# --- Docker --------------------------------------------------------------------------------


def test_the_image_runs_as_a_number_that_is_not_root() -> None:
    user, group = given("USER")[-1].split(":")
    assert min(int(user), int(group)) > 0
    words = [word for word, _ in instructions()]
    # Nothing is installed after it.
    assert "RUN" not in words[words.index("USER") :]
    assert given("RUN")[-1].count(f"id {user}") >= 1


def test_the_image_is_made_of_pinned_wheels_and_holds_byte_code() -> None:
    pins, ours, _ = given("RUN")
    assert "--require-hashes --only-binary :all: -r requirements/run.txt" in pins
    assert "--no-deps --no-build-isolation ." in ours
    assert "compileall" in ours
    assert "PYTHONDONTWRITEBYTECODE" not in read(DOCKERFILE)


def test_the_image_starts_the_command_itself() -> None:
    assert json.loads(given("ENTRYPOINT")[0]) == ["reverse-etl"]
    assert json.loads(given("CMD")[0])[:3] == ["serve", "--host", "0.0.0.0"]  # noqa: S104 - of the container


def test_the_image_is_built_from_what_is_let_in_and_from_nothing_else() -> None:
    let_in = {
        line[1:]
        for line in read(EXAMPLES / "docker" / "Dockerfile.dockerignore").splitlines()
        if line[:1] == "!"
    }
    copied = {
        name
        for rest in given("COPY")
        if not rest.startswith("--from")
        for name in rest.split()[:-1]
    }
    assert copied == let_in
    assert [name for name in sorted(copied) if not (ROOT / name).exists()] == []
    # What is installed without looking anywhere else is all there.
    project = read(ROOT / "pyproject.toml")
    packages = json.loads(re.findall(r"^packages = (\[.+\])$", project, re.MULTILINE)[0])
    assert set(packages) <= copied


def test_the_image_is_given_no_secret_and_no_host() -> None:
    assert given("ARG") == []
    names = {name for rest in given("ENV") for name in re.findall(r"(\w+)=", rest)}
    assert names == {"PATH", "REVERSE_ETL_CONFIG"}
    assert all("/" not in rest and ":" in rest for rest in given("FROM"))


def test_health_is_asked_for_where_the_scheduler_answers() -> None:
    port = str(scheduling.DEFAULT_PORT)
    assert given("EXPOSE") == [port]
    assert f"http://127.0.0.1:{port}/healthz" in given("HEALTHCHECK")[0]
    assert container(DEPLOYMENT)["ports"][0]["containerPort"] == scheduling.DEFAULT_PORT
    for name in ("reverse-etl.service", "deployment", "image"):
        words = calls()[name]
        assert words[words.index("--port") + 1] == port


# --- all of them ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=[str(file.relative_to(EXAMPLES)) for file in FILES])
def test_a_file_names_no_host_no_home_and_no_key(path: Path) -> None:
    text = read(path)
    hosts = re.findall(r"\w+://([^/:\s'\"]+)", text)
    assert set(hosts) <= {"127.0.0.1"}
    assert re.findall(r"/(?:home|root|Users|work)/|--(?:extra-)?index-url", text) == []
    assert re.findall(r"(?:API_KEY|PASSWORD|TOKEN|SECRET)=(?!\.\.\.)\S+", text) == []
