"""Pictures of clips: functions of arrays and paths."""
