"""How one node is launched: its arguments, the DDS profile, the process.

Only launch files import this. What an argument means and which values it takes comes from
parameters.py where it is a parameter of the node.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription

__all__ = [
    "NodeLaunch",
    "argument",
    "declare_dds_profile",
    "declare_log_level",
    "find_share",
    "log_level_words",
    "make_reader",
    "set_dds_profile",
    "switch",
]

_RESPAWN_DELAY_SEC = 2.0


def find_share() -> Path:
    """Find the installed launch files and parameter files.

    Returns:
        The folder that holds launch/ and config/.
    """
    return Path(get_package_share_directory("tavid"))


def argument(
    name: str, description: str, *, default: str = "", choices: Sequence[str] = ()
) -> DeclareLaunchArgument:
    """Declare an argument of a launch file.

    Args:
        name: Of the argument.
        description: One sentence.
        default: Its value when it is not given.
        choices: The only possible values, none = any.

    Returns:
        The action.
    """
    options = {"choices": list(choices)} if choices else {}
    return DeclareLaunchArgument(name, default_value=default, description=description, **options)


def switch(name: str, description: str, *, default: str) -> DeclareLaunchArgument:
    """Declare an argument that is true or false.

    Args:
        name: Of the argument.
        description: One sentence.
        default: "true", "false", or "" = what the parameter files say.

    Returns:
        The action.
    """
    choices = ["true", "false"] if default else ["", "true", "false"]
    return argument(name, description, default=default, choices=choices)


def make_reader(context: LaunchContext) -> Callable[[str], str]:
    """Make a function that reads arguments.

    Args:
        context: Of the launch.

    Returns:
        Gives the value of an argument.
    """
    return lambda name: LaunchConfiguration(name).perform(context)


def declare_log_level() -> DeclareLaunchArgument:
    """Declare the argument that `log_level_words` reads.

    Returns:
        The action.
    """
    levels = ["debug", "info", "warn", "error", "fatal"]
    return argument("log_level", "What a node tells.", default="info", choices=levels)


def log_level_words(context: LaunchContext) -> list[str]:
    """Give what a node's command line says of its log level.

    Args:
        context: Of the launch.

    Returns:
        Words.
    """
    return ["--ros-args", "--log-level", make_reader(context)("log_level")]


def declare_dds_profile() -> DeclareLaunchArgument:
    """Declare the argument that `set_dds_profile` looks at.

    Returns:
        The action.
    """
    description = "Give Fast DDS room for images (config/fastdds_profile.xml)."
    return switch("use_dds_profile", description, default="true")


def set_dds_profile() -> SetEnvironmentVariable:
    """Give the DDS profile to every node that is started later in this scope.

    Returns:
        The action; a profile that the user has already chosen stays.
    """
    variable = "FASTRTPS_DEFAULT_PROFILES_FILE"
    own = str(find_share() / "config" / "fastdds_profile.xml")
    return SetEnvironmentVariable(
        variable,
        EnvironmentVariable(variable, default_value=own),
        condition=IfCondition(LaunchConfiguration("use_dds_profile")),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeLaunch:
    """One node, and what a launch of it can be told.

    Args:
        name: Of the node, of its parameter file config/NAME.yaml, and of its program NAME_node.
        parameters_type: The parameters of the node.
        parameters: Those of them that are arguments too; words and switches, no numbers.
        topics: Descriptions of the topics that an argument NAME_topic renames.
        presets: Words that name another parameter file, config/NAME_PRESET.yaml.
    """

    name: str
    parameters_type: type
    parameters: tuple[str, ...]
    topics: Mapping[str, str]
    presets: tuple[str, ...] = ()

    def declare(self) -> list[DeclareLaunchArgument]:
        """Declare every argument.

        Returns:
            The actions.
        """
        declared = [
            argument("namespace", "Namespace of the node."),
            argument("name", "Name of the node.", default=self.name),
            argument("params_file", "Your parameters of the node; they go over all but arguments."),
        ]
        if self.presets:
            description = (
                f"Settings of a model and a card, config/{self.name}_PRESET.yaml; "
                f"empty = {self.presets[0]}."
            )
            declared.append(argument("preset", description, choices=["", *self.presets]))
        declared += [self._make_argument(name) for name in self.parameters]
        declared += [
            argument(f"{topic}_topic", description, default=topic)
            for topic, description in self.topics.items()
        ]
        return [
            *declared,
            switch("use_sim_time", "Take the time from /clock.", default=""),
            # Off, since with wrong parameters or missing weights the node would start for ever.
            switch("respawn", "Start the node again when its process ends.", default="false"),
            declare_log_level(),
            declare_dds_profile(),
        ]

    def _is_switch(self, name: str) -> bool:
        return name == "use_sim_time" or isinstance(self._fields[name].default, bool)

    def _make_argument(self, name: str) -> DeclareLaunchArgument:
        field = self._fields[name]
        if self._is_switch(name):
            return switch(name, field.metadata["description"], default="")
        choices = field.metadata["choices"]
        return argument(
            name, field.metadata["description"], choices=["", *choices] if choices else ()
        )

    @property
    def _fields(self) -> dict[str, dataclasses.Field]:
        return {field.name: field for field in dataclasses.fields(self.parameters_type)}

    def list_parameters(self, value: Callable[[str], str]) -> list[str | dict[str, str | bool]]:
        """List the sources of parameters, the strongest last.

        Args:
            value: Gives the value of an argument.

        Returns:
            Paths of files, then what the arguments say; an empty one says nothing.

        Raises:
            FileNotFoundError: If params_file does not exist. Without this launch_ros would warn,
                and start the node with other parameters than asked for.
        """
        config = find_share() / "config"
        files = [config / f"{self.name}.yaml"]
        if self.presets and value("preset"):
            files.append(config / f"{self.name}_{value('preset')}.yaml")
        if value("params_file"):
            files.append(Path(value("params_file")).expanduser().absolute())
            if not files[-1].is_file():
                raise FileNotFoundError(
                    f"params_file must be a file, got {files[-1]}. Check the path, or leave it out."
                )
        given = {name: value(name) for name in (*self.parameters, "use_sim_time") if value(name)}
        words = {
            name: word == "true" if self._is_switch(name) else word for name, word in given.items()
        }
        return [*map(str, files), *([words] if words else [])]

    def make_node(self, context: LaunchContext) -> list[Node]:
        """Make the node from the arguments.

        Args:
            context: Of the launch.

        Returns:
            The node.
        """
        value = make_reader(context)
        remappings = [(topic, value(f"{topic}_topic")) for topic in self.topics]
        # What image_transport names the compressed image follows the image.
        remappings.append(("image/compressed", f"{value('image_topic')}/compressed"))
        return [
            Node(
                package="tavid",
                executable=f"{self.name}_node",
                name=value("name"),
                namespace=value("namespace"),
                output="screen",
                emulate_tty=True,
                respawn=value("respawn") == "true",
                respawn_delay=_RESPAWN_DELAY_SEC,
                parameters=self.list_parameters(value),
                remappings=remappings,
                arguments=log_level_words(context),
            )
        ]

    def describe(self) -> LaunchDescription:
        """Describe the launch.

        Returns:
            Arguments, the DDS profile, and the node.
        """
        return LaunchDescription(
            [*self.declare(), set_dds_profile(), OpaqueFunction(function=self.make_node)]
        )
