"""Two planners in two namespaces, as on a machine with two cameras or two cards."""

from __future__ import annotations

from contextlib import ExitStack

from tavid_ros import conversions
from tavid_ros.client import PlanClient
from tavid_ros.processes import NodeProcess
from tests.ros.graph import wait_for
from tests.ros.messages import make_request

NAMES = ("left", "right")


def test_two_planners_in_two_namespaces_work_at_once(graph, tmp_path):
    with ExitStack() as stack:
        clients, futures, stages = {}, {}, {name: [] for name in NAMES}
        for name in NAMES:
            (tmp_path / name).mkdir()
            values = {"backend": "fake", "output_dir": str(tmp_path / name / "plans")}
            stack.enter_context(
                NodeProcess("tavid_ros.planner_node", values, tmp_path / name, namespace=name)
            )
            # Absolute, because the test's own node is in a namespace too.
            clients[name] = PlanClient(
                graph.node,
                action_name=f"/{name}/plan_interaction",
                planner_name=f"/{name}/planner",
            )
            stack.callback(clients[name].destroy)
        for name, client in clients.items():
            client.wait_for_planner(60.0)
            request = make_request(num_inference_steps=60)
            futures[name] = client.request_plan_async(
                conversions.goal_from_request(request),
                60.0,
                on_progress=lambda progress, name=name: stages[name].append(progress.stage),
            )
        wait_for(lambda: all("denoise" in told for told in stages.values()))
        assert not any(future.done() for future in futures.values())
        for name, future in futures.items():
            wait_for(future.done)
            assert f"/{name}/plans/" in future.result().plan_uri
