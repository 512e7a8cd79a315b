"""Which worker of several runs which tests."""

from xdist.scheduler import LoadScopeScheduling


class RosTogether(LoadScopeScheduling):
    """Give a worker whole files, and one of them all ROS tests.

    Planners, cameras and robots of two tests at once would wait for each other's cores. (The
    groups of xdist 3.8 do not reach its scheduler under pytest 9.)
    """

    def _split_scope(self, nodeid):
        file = nodeid.partition("::")[0]
        return "ros" if "/ros/" in file else file
