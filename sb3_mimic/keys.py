"""Names the keys of observations, which every environment provides and every extractor relies on."""

OBSERVATION = "observation"
ACHIEVED_GOAL = "achieved_goal"
DESIRED_GOAL = "desired_goal"
IMAGE = "image"
DESIRED_IMAGE = "desired_image"

STATE_KEYS = (OBSERVATION, ACHIEVED_GOAL, DESIRED_GOAL)
IMAGE_KEYS = (IMAGE, DESIRED_IMAGE)

# How fast a goal moves, where goals do
DESIRED_VELOCITY = "desired_velocity"

#: Which vector is to be read in which picture
LABELS = {IMAGE: ACHIEVED_GOAL, DESIRED_IMAGE: DESIRED_GOAL}

# Poses together with where the camera is that sees them, where it moves, and with how fast joints move, where that is asked
# for. They are told in the info
ACHIEVED_VIEW = "achieved_view"
DESIRED_VIEW = "desired_view"

#: Which vector is to be read in which picture where more is to be read than poses
VIEW_LABELS = {IMAGE: ACHIEVED_VIEW, DESIRED_IMAGE: DESIRED_VIEW}
