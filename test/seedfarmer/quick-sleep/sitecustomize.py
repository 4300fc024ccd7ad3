"""Put before everything else on PYTHONPATH of the seedfarmer CLI by the tests.

Seed-Farmer waits 12 seconds after each new role, and botocore's waiters 5 seconds a poll, for AWS to be consistent
everywhere. The server beside it is so at once; nothing else of the CLI is touched.
"""

import time

_sleep = time.sleep
time.sleep = lambda seconds: _sleep(0.2 if 1 <= seconds <= 30 else seconds)
