"""The mini world: a person behind a table picks up one of two to four objects.

Everything is kinematic and drawn by MuJoCo off screen, so ground truth (masks, depth, joints,
object poses, contact frame, camera) is exact and free. World frame: z up, origin on the table
top; the person sits at +y and faces the camera at -y. Metres.
"""

from training.sources.sim.motion import ActorMotion, plan_motion
from training.sources.sim.render import SceneRenderer, SimClip
from training.sources.sim.scene import Scene, SceneObject, sample_scene

__all__ = [
    "ActorMotion",
    "Scene",
    "SceneObject",
    "SceneRenderer",
    "SimClip",
    "plan_motion",
    "sample_scene",
]
