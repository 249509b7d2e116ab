"""The config file: what it may hold (``schema``) and how it is read (``load``).

Importing this package loads no database driver, no HTTP client and no pyarrow. Its JSON Schema is
in ``editor_schema``, which few need and which takes its time to load.
"""

from __future__ import annotations

from reverse_etl.config.load import find_config, load_config
from reverse_etl.config.schema import (
    Config,
    EngineConfig,
    FieldConfig,
    NotificationConfig,
    ObservabilityConfig,
    ScheduleConfig,
    SourceConfig,
    SyncConfig,
    WarehouseConfig,
    did_you_mean,
)

__all__ = [
    "Config",
    "EngineConfig",
    "FieldConfig",
    "NotificationConfig",
    "ObservabilityConfig",
    "ScheduleConfig",
    "SourceConfig",
    "SyncConfig",
    "WarehouseConfig",
    "did_you_mean",
    "find_config",
    "load_config",
]
