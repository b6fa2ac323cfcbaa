"""What all tests share: no deadlines (the cores may be busy), and threads that wait without spinning."""

from __future__ import annotations

import os

# As the command line does it, and before torch is imported: spinning threads make small steps crawl on busy cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from hypothesis import settings

settings.register_profile("gyrfalcon", settings.get_profile(settings.get_current_profile_name()), deadline=None)
settings.load_profile("gyrfalcon")
