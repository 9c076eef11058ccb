"""The domain's words, once: column names of the data contract and reserved indices.

A *member* acts on an *item*; an *event* is one row of the log. An *external id* is the user's own;
an *index* is the dense integer inside a run.
"""

from typing import Final

# Columns of the data contract.
USER_ID: Final = "user_id"
ITEM_ID: Final = "item_id"
TIMESTAMP: Final = "timestamp"
POSITION: Final = "position"
EVENT_TYPE: Final = "event_type"
EVENT_VALUE: Final = "event_value"
EVENT_ID: Final = "event_id"
SESSION_ID: Final = "session_id"
IMPRESSIONS: Final = "impressions"
ORDER: Final = "order"
GROUP_ID: Final = "group_id"
ENTITY_TYPE: Final = "entity_type"
LAUNCH_TIME: Final = "launch_time"
AVAILABLE_UNTIL: Final = "available_until"

# Columns of tables of queries and recommendations.
QUERY: Final = "query"
RANK: Final = "rank"
SCORE: Final = "score"

# Reserved indices of every vocabulary.
PADDING: Final = 0
UNKNOWN: Final = 1
FIRST_KNOWN: Final = 2
