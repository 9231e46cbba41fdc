// SPDX-License-Identifier: Apache-2.0

package notice

import "log/slog"

const (
	warn = slog.LevelWarn
	fail = slog.LevelError
)

// The first digit of a code stands for an area of Remora, and so for who is responsible. A code keeps its meaning for good,
// and is never reused.
//
// Settings and start.
var (
	CommandFailed = define(1000, fail, "the command failed",
		"The message says why: it has no code of its own.",
		"Do what the message asks for; `check` tries all that a process needs.")
	SettingsWrong = define(1001, fail, "the command line or a setting is wrong",
		"A value can't be read or is outside its bounds, an output is not known, or the file REMORA_CONFIG can't be read.",
		"Correct what the message names; `--help` lists every setting. The command `check` tries all of them.")
	SettingUnknown = define(1002, warn, "unknown setting ignored",
		"A variable looks like a setting of Remora's or of an output's and is none.",
		"Correct the name; `did_you_mean` gives the nearest one. Remove the variable if nothing was meant.")
	SettingOfLogPilot = define(1003, warn, "a setting or file of log-pilot has another effect here, or none",
		"A variable of log-pilot's has no counterpart, or another meaning.",
		"Set what the warning names instead; see docs/from-log-pilot.md.")
	OutputsUnused = define(1004, warn, "outputs of the file REMORA_CONFIG are not used: LOGGING_OUTPUT does not name them",
		"The file has outputs that no record goes to.",
		"Name them in LOGGING_OUTPUT or in a declaration's `output`, or remove them.")
	NothingDelivered = define(1005, fail, "nothing is delivered and logs are kept in the spool until the settings are corrected",
		"Settings of the plugin are wrong. It stays up, because the engine could not start containers without it.",
		"Correct the settings that the message names and enable the plugin again.")
	SettingsPending = define(1006, warn, "settings have changed that take effect at the next start",
		"The section `settings` of the file REMORA_CONFIG has other values than at the start.",
		"Restart the process. Logs are resumed where they were; only REMORA_LOG_LEVEL takes effect at once.")
	SettingsNotReloaded = define(1007, fail, "changed settings can't be used; those before stay in effect",
		"The section `settings` of the file REMORA_CONFIG has a name or a value that is wrong.",
		"Correct the line that the message names before the next start: with it the process would not start.")
	OutputsStay = define(1010, fail, "REMORA_CONFIG is wrong: its outputs stay as they were",
		"The file was changed while Remora runs, and can't be read, or something in its section outputs is wrong.",
		"Correct what the message names. Delivery continues with the outputs as they were.")
	OutputWithdrawn = define(1011, warn, "REMORA_CONFIG does not name an output any more: its logs are kept and wait",
		"An output that LOGGING_OUTPUT names was removed from the file while Remora runs.",
		"Put it back, and its logs are delivered from where they were; or take it out of LOGGING_OUTPUT and restart Remora.")
	ReplacedNotClosed = define(1012, warn, "failed to close an output that was replaced",
		"The connection or the file of the old settings returned an error.",
		"Nothing has to be done; what it had not acknowledged is sent again to the new one.")
	StateUnusable = define(1101, fail, "the state directory can't be used",
		"REMORA_STATE_DIR can't be made, written or locked, or another process uses it.",
		"Give each process a directory of its own that it may write and that outlives it.")
	StateTemporary = define(1102, fail, "using a temporary state directory, which an upgrade does not keep",
		"REMORA_STATE_DIR can't be used. The plugin stays up, because the engine could not start containers without it.",
		"Mend the directory that the message names and enable the plugin again before it is upgraded.")
	CheckpointsSetAside = define(1103, fail, "checkpoints can't be used and were set aside; everything that is still there is delivered again",
		"The file checkpoints.db is damaged, or was written by a newer Remora.",
		"Nothing has to be done; some records arrive twice. To go back to the newer Remora, put the file back that `moved_to` names.")
	CheckpointsUnread = define(1104, fail, "failed to read checkpoints; what they cover is delivered again",
		"The disk with the state directory returns errors.",
		"Look into the kernel's log for the disk's errors.")
	CheckpointsNotStored = define(1105, fail, "failed to store checkpoints, retrying; a crash of the machine now would resend delivered records",
		"The disk with the state directory is full, read-only or broken.",
		"Make room, or mend the disk. Delivery continues, and the checkpoints are stored then.")
	SlotsUnusable = define(1106, warn, "positions are recorded once a second only; a kill resends more",
		"The file beside checkpoints.db that holds the newest positions can't be mapped.",
		"Put the state directory on a file system that supports mmap.")
	OutputsNotInherited = define(1107, fail, "failed to resume where the previous outputs were; their logs are delivered again",
		"LOGGING_OUTPUT has changed, and the checkpoints of the previous outputs can't be read.",
		"Look into the kernel's log for the disk's errors.")
	BeginningNotStored = define(1108, fail, "failed to store where a new output begins; it gets a gap, or what another output has got already",
		"The disk with the state directory is full, read-only or broken.",
		"Make room, or mend the disk.")
	MarkFailed = define(1109, warn, "failed to mark how far the stream was read; after a restart it is read from its beginning",
		"The stream can't be read at its checkpoint.",
		"Look at the error: rights of the file, or a disk that returns errors.")
	WrittenNotNoted = define(1110, warn, "failed to open the journal of an output; a kill has it write twice what was in flight",
		"The journal in the state directory can't be allocated or mapped: the disk is full, or its file system does not support mmap.",
		"Make room, or put the state directory on ext4 or XFS.")
	StatusNotServed = define(1201, fail, "failed to listen for status requests",
		"The address of REMORA_LISTEN is in use or not the machine's, or the socket's directory can't be written.",
		"Correct REMORA_LISTEN. Logs are collected all the same.")
	DrainNotServed = define(1202, warn, "failed to listen for the drain command; SIGTERM drains as well",
		"The state directory can't hold a socket.",
		"Nothing has to be done where nothing calls `drain`.")
	NobodyAnswers = define(1205, fail, "no running Remora answers",
		"No process runs with this state directory, it is another user's, or REMORA_STATE_DIR or REMORA_LISTEN differ from the running one's.",
		"Start it, or give the command the settings of the running process: in its container, as its user.")
	ChecksFailed = define(1301, fail, "a check failed",
		"The command `check` found something that a process needs and can't have.",
		"Do what the list says below each line with a ✗.")
	MetricsNotExported = define(1204, warn, "failed to export metrics; the next export is tried in time",
		"The receiver that OTEL_EXPORTER_OTLP_ENDPOINT names can't be reached or refuses metrics.",
		"Look at the error. Logs are delivered all the same; OTEL_METRICS_EXPORTER=none ends the export.")
	ListenPluginFailed = define(1203, fail, "the plugin's socket can't be opened",
		"Another process listens on it, or its directory can't be written.",
		"Disable and enable the plugin.")
)

// Declarations and rules.
var (
	DeclarationInvalid = define(2001, fail, "invalid declaration ignored",
		"A label, variable, annotation or entry of a file declares what Remora does not know or can't do.",
		"Correct the key that the message names; `explain` shows the result.")
	DeclarationWarning = define(2002, warn, "warning about a declaration",
		"A declaration is followed, but a part of it has no effect, or another than it seems.",
		"Correct the key that the message names, or leave it.")
	RuleInvalid = define(2004, fail, "invalid rule ignored",
		"A rule in the file REMORA_CONFIG is wrong. The previous rules stay in effect.",
		"Correct the line that the message names.")
	DeclaredSource = define(2011, fail, "invalid declaration ignored: what it collects",
		"A path is not absolute, a pattern can't be followed, or `streams`, `exclude`, `encoding`, `ignore_older` or `read_from` has a value that is not known.",
		"Write stdout, or absolute paths with * ? [] {} and **; see docs/declarations.md.")
	DeclaredFormat = define(2012, fail, "invalid declaration ignored: its format",
		"The format is not known, has no such option, or an option's value is wrong.",
		"See docs/formats.md for formats and their options; `try` shows what a format makes of a sample.")
	DeclaredMultiline = define(2013, fail, "invalid declaration ignored: its multiline",
		"The preset is not known, an expression can't be compiled, or a limit is out of bounds.",
		"See docs/formats.md for presets and expressions; `try` shows how lines are joined.")
	DeclaredFilter = define(2014, fail, "invalid declaration ignored: a filter",
		"`keep`, `drop`, `mask`, `add`, `remove`, `rename`, `sample` or `rate_limit` has a wrong value, or there are too many.",
		"See docs/formats.md for filters; `try` shows what they leave. A log with a wrong filter is not delivered unfiltered.")
	DeclaredTags = define(2015, fail, "invalid declaration ignored: its tags",
		"A tag has no name or no value, is too long or one too many, or `tags_from` names what it may not use.",
		"Write KEY=VALUE, separated by commas: at most 256 tags of 8 KiB each, 64 KiB in all.")
	DeclaredOutput = define(2016, fail, "invalid declaration ignored: where it goes",
		"`output` names an output that is not configured, or `target` or `pipeline` has a character that is not allowed.",
		"Name outputs of LOGGING_OUTPUT or of the file REMORA_CONFIG.")
	FieldNotAdded = define(2101, warn, "field not added: records have a member of that name",
		"`add` names a member that Remora writes itself.",
		"Choose another name for the field.")
	FieldNotRenamed = define(2102, warn, "field not renamed: records have a member of that name",
		"`rename` names a member that Remora writes itself.",
		"Choose another name for the field.")
	ExpressionOff = define(2103, fail, "expression switched off: it took too much CPU time on too many lines",
		"A regular expression backtracks. Lines are sent as if it were not declared.",
		"Write it without nested repetitions, or anchor it; `try` shows what it costs.")
)

// Outputs and delivery.
var (
	OutputFailed = define(3001, warn, "output failed, retrying",
		"The backend can't be reached, refuses the login, or answers with an error. Records wait.",
		"Look at the error. `explain --check-outputs` tries the backend.")
	DestinationBlocked = define(3002, warn, "destination does not accept records; the stream waits alone, retrying",
		"The backend takes records, but not for this index, topic, key or log: a right, a limit or a mapping.",
		"Do what the reason asks for at the backend. REMORA_RETRY_GIVE_UP limits how long the stream waits.")
	RecordParked = define(3003, warn, "destination of a record does not accept it; parked, its stream continues",
		"A record goes to another destination than those after it, an old index for instance, which does not accept it.",
		"Do what the reason asks for at the backend; the record is retried. REMORA_PARKED_BYTES bounds what is parked.")
	RecordRefused = define(3004, warn, "backend refused a record; it is counted, and written to REMORA_DEAD_LETTER if that is set",
		"The backend will never take the record as it is.",
		"Look at the reason: size, or a field's type (`format.into`, ELASTICSEARCH_ON_CONFLICT). Set REMORA_DEAD_LETTER to keep such records.")
	DeadLettersFailed = define(3005, fail, "refused records can't be kept, only counted",
		"The file REMORA_DEAD_LETTER can't be written.",
		"Make room, or correct the path or its rights.")
	OutputNotClosed = define(3006, warn, "failed to close output",
		"The connection broke while the process ended. What was not acknowledged is sent again.",
		"Nothing has to be done.")
	OutputUnreachable = define(3007, warn, "output failed, retrying: it can't be reached",
		"The backend's name is not found, or nobody accepts connections there. Records wait.",
		"Start the backend, or correct its address; look for a firewall or a network policy between. The command `check` tries it from here.")
	OutputDenied = define(3008, warn, "output failed, retrying: it does not let us in",
		"The backend was reached and refuses the login, or the user has no right to write. Records wait.",
		"Correct user, password, token or key, or give the user the right. A file that a setting NAME_FILE names is read again.")
	OutputNotTrusted = define(3009, warn, "output failed, retrying: its certificate is not trusted",
		"No authority that Remora trusts has signed the backend's certificate, it is for another name, or it has expired. Records wait.",
		"Set the output's certificate authorities, call the backend by the name in its certificate, or renew that.")
	ParkedUnreadable = define(3101, fail, "parked records can't be read; records that a destination does not accept keep their streams waiting",
		"The directory `parked` below the state directory can't be read.",
		"Correct its rights, or mend the disk, and restart.")
	ParkedDamaged = define(3102, warn, "parked records are damaged and are skipped; their files are kept as *.bad",
		"The machine crashed while they were written, or the disk damaged them.",
		"Nothing has to be done; the files may be removed.")
	ParkedNewer = define(3103, fail, "parked records are of another version of Remora and can't be sent; their files are kept as *.bad, for that version",
		"Remora was set back to an older version.",
		"Rename the files from *.bad when the newer version runs again.")
	ParkedOrphaned = define(3104, warn, "records are parked for an output that is not configured; they stay until it is",
		"LOGGING_OUTPUT does not name the output any more.",
		"Configure the output again until they are delivered, or remove the directory `parked` while Remora is stopped.")
	ParkedNotClosed = define(3105, fail, "failed to close the parked records",
		"The disk with the state directory is full or broken.",
		"Make room, or mend the disk.")
	ParkedOverLimit = define(3106, warn, "parked records exceed their limit; the oldest go to the dead letters, or are counted as refused",
		"More records wait for their destination than REMORA_PARKED_BYTES allows.",
		"Mend the destination, or raise REMORA_PARKED_BYTES.")
	ParkedNotRetried = define(3107, fail, "parked records can't be retried",
		"Their files can't be read.",
		"Correct the rights of the directory `parked`, or mend the disk.")
	ParkedBadRemoved = define(3108, warn, "the oldest *.bad files of parked records were removed: there were too many",
		"Many files were damaged or of another version.",
		"Look for the disk's errors if the version has not changed.")
	StreamNotDelivered = define(3201, fail, "failed to deliver a stream",
		"The declaration can't be carried out, or its output is not known.",
		"Correct the declaration or LOGGING_OUTPUT.")
	NotDelivered = define(3202, fail, "not everything could be delivered in time",
		"The process stopped, or `drain` was called, while an output failed or was behind. The next start resumes there.",
		"Mend the output, or raise REMORA_DRAIN_TIMEOUT and the time that the supervisor waits.")
)

// Files and streams.
var (
	StreamUnreadable = define(4001, warn, "stream can't be read, retrying",
		"The file can't be read: rights, a mount that is gone, a disk that returns errors.",
		"Look at the error, and correct the rights or mend the mount.")
	StreamGap = define(4002, warn, "part of the stream was lost",
		"A disk budget was used up, or a file was truncated or removed before it was read. The gap is delivered as a record.",
		"Mend the output that was behind, raise the budget that `reason` names, or rotate files by renaming.")
	BytesSkipped = define(4003, warn, "skipped undecodable bytes",
		"The stream holds what is no frame or line of its format: a damaged disk, or another format.",
		"Look at the file around the offset; correct `format` or `encoding`.")
	FileLost = define(4004, fail, "bytes of a file are lost",
		"The file was truncated or removed before it was read to its end.",
		"Rotate by renaming (`create`), not by truncating (`copytruncate`); raise REMORA_MAX_DELETED_BYTES; mend the output that was behind.")
	PathsUnreadable = define(4005, warn, "too many paths cannot be read, the others are not logged",
		"Many files can't be opened, for the same reason as a rule.",
		"`status` lists those that are noted. Correct the rights, or narrow the pattern.")
	FileSystemSilent = define(4006, warn, "file system does not answer, leaving files open",
		"A network file system hangs, or very many files were still being opened when the process stopped.",
		"Mend its server or unmount it, or narrow a pattern that chooses very many files. Other logs are collected meanwhile.")
	FilesNotDrained = define(4007, warn, "files that were removed could not be delivered in time",
		"The process stopped before removed files were delivered; they can't be read again.",
		"Mend the output, or raise REMORA_DRAIN_TIMEOUT and the time that the supervisor waits.")
	RegistryNotTaken = define(4008, fail, "Filebeat's registry can't be taken over; files are delivered from their beginning",
		"The registry is damaged, or of a version that is not known.",
		"Set REMORA_READ_FROM=end before the first start if a second delivery does harm.")
	PathNotRead = define(4009, warn, "path is not read",
		"A path of a declaration leads out of the container's own files, or to what is no file.",
		"Correct the path, or the link that it leads through.")
	PathUnreadable = define(4010, warn, "cannot read path, retrying",
		"A directory or file can't be opened: rights, a mount that is gone or hangs, or more new files than can be opened at once.",
		"Look at the error, and correct the rights or the mount, or narrow the pattern.")
)

// Capture and spool.
var (
	SpoolUnusable = define(5001, fail, "spool: failed to create its directory; logs are lost until it exists",
		"The state directory can't be written.",
		"Correct its rights, or make room on the disk.")
	SpoolWriteFailed = define(5002, warn, "spool: write failed, discarding input",
		"The disk is full, read-only or broken. The container runs, and what it writes meanwhile is lost as a gap.",
		"Make room, or mend the disk.")
	SpoolWritable = define(5003, warn, "spool writable again",
		"The spool could not be written before; what was lost is a gap.",
		"Nothing has to be done.")
	SpoolDropped = define(5004, warn, "spool: dropped unread data",
		"The spool's budget is used up: the backend is behind.",
		"Mend the output, or raise REMORA_SPOOL_MAX_BYTES or REMORA_SPOOL_MAX_BYTES_PER_CONTAINER.")
	SpoolEvicted = define(5005, warn, "spool: removed the stream of a container that has ended before it was delivered: too many have ended, or the disk has too few inodes",
		"Containers end faster than their logs are delivered.",
		"Mend the output, or give the state directory a disk with more inodes.")
	SpoolNotSynced = define(5006, warn, "spool: fsync failed; a crash of the machine may lose what was written last",
		"The disk returns errors, or does not support it.",
		"Look into the kernel's log for the disk's errors.")
	SpoolStreamNotSynced = define(5007, warn, "spool: fsync failed",
		"The disk returns errors.",
		"Look into the kernel's log for the disk's errors.")
	SpoolFrameNotCut = define(5008, warn, "spool: failed to cut off an unfinished frame",
		"The disk returns errors.",
		"Look into the kernel's log for the disk's errors.")
	SpoolGapsDamaged = define(5009, warn, "spool: the gap file is damaged; gaps of an earlier process have no record count",
		"The machine crashed while it was written.",
		"Nothing has to be done.")
	SpoolGapNotStored = define(5010, warn, "spool: failed to persist a gap; a restart before it can be would not report it",
		"The disk is full or broken.",
		"Make room, or mend the disk.")
	SpoolGapNotCounted = define(5011, warn, "spool: failed to persist a gap; its record count would be lost at a restart",
		"The disk is full or broken.",
		"Make room, or mend the disk.")
	SpoolNotMarked = define(5012, warn, "spool: failed to mark a stream",
		"The disk is full or broken.",
		"Make room, or mend the disk.")
	SpoolNotRemoved = define(5013, warn, "spool: failed to remove a stream that is not needed any more",
		"The directory's rights have changed, or the disk returns errors.",
		"Correct the rights, or mend the disk.")
	SpoolManifestNotStored = define(5014, warn, "spool: failed to write a manifest; a restart before it is written would lose the stream",
		"The disk is full or broken.",
		"Make room, or mend the disk.")
	SpoolDamaged = define(5015, fail, "part of the spool is damaged; what it holds is delivered without its tags",
		"A manifest is damaged: the machine crashed, or the disk damaged it.",
		"Nothing has to be done.")
	SpoolStreamNotResumed = define(5016, fail, "failed to resume a stream of an earlier process",
		"Its directory can't be read.",
		"Look at the error: rights, or a disk that returns errors.")
	SpoolStreamNewer = define(5017, fail, "a stream was stored by a newer Remora; it is kept, and not delivered",
		"Remora was set back to an older version, which does not know the format of the stream.",
		"Nothing has to be done if the newer version runs again; it delivers the stream. Else remove its directory.")
	FIFOUnreadable = define(5101, fail, "failed to read a FIFO",
		"The container's pipe broke.",
		"Restart the container.")
	FIFONoDescriptor = define(5102, fail, "no file descriptor left for a container's FIFO, retrying; the container waits when the pipe is full",
		"More containers run than the process may open descriptors for.",
		"Raise the limit of the engine's service (LimitNOFILE).")
	CaptureFailed = define(5103, fail, "failed to capture a container",
		"Its FIFO can't be opened, or the spool can't hold it.",
		"Look at the error, and restart the container.")
	FIFONotDrained = define(5104, warn, "FIFO not drained in time, draining it in the background",
		"The container wrote faster than the disk takes it, up to its end.",
		"Nothing has to be done.")
	FIFOGone = define(5105, warn, "container's FIFO no longer exists: stored data will be delivered, what the FIFO held is lost",
		"The plugin was upgraded while the container ran.",
		"Restart the container: until then what it writes is lost.")
	FIFONotFound = define(5106, fail, "failed to look for the FIFOs of containers whose manifest is damaged",
		"The directory can't be read.",
		"Restart the containers that `status` does not show.")
	FIFONotCaptured = define(5107, fail, "failed to capture a container whose manifest is damaged",
		"Its FIFO can't be opened.",
		"Restart the container.")
	CapturedWithoutTags = define(5108, warn, "capturing a container whose manifest is damaged, without its tags and declarations",
		"The machine crashed while the manifest was written.",
		"Restart the container, so that its records have tags again.")
	StartLoggingFailed = define(5109, fail, "StartLogging failed",
		"An option of the container's is wrong, or its FIFO can't be opened. The engine shows the error.",
		"Correct the option that the error names.")
	StopLoggingUnreadable = define(5110, fail, "StopLogging could not be understood",
		"The engine sent what is no request of its protocol.",
		"Report it with the engine's version.")
	DockerLogsEnded = define(5111, warn, "docker logs ended early",
		"The client went away, or the spool could not be read.",
		"Look at the error if the client was still there.")
	LoggersNotServed = define(5201, fail, "failed to serve loggers: a container dies with its logger",
		"The socket in the spool's directory can't be made.",
		"Look at the error: rights of REMORA_CONTAINERD_SPOOL.")
	LoggerLogUnreadable = define(5202, fail, "failed to read a container's log, retrying",
		"A stream in REMORA_CONTAINERD_SPOOL can't be read.",
		"Look at the error: rights, or a disk that returns errors.")
	LoggerNotEnded = define(5203, warn, "failed to end the log of a container whose logger was killed",
		"The stream's directory can't be written.",
		"Look at the error: rights, or a disk that is full.")
	LoggerNotAccepted = define(5204, warn, "failed to accept a logger's connection, retrying",
		"The process has too few descriptors.",
		"Raise its limit (LimitNOFILE).")
	LoggerRefused = define(5205, fail, "refused a logger",
		"The process that connected is not one that containerd started.",
		"Find out what connects to the agent's socket; loggers run as root.")
	LoggerOfferRefused = define(5206, fail, "refused what a logger offers",
		"A logger sent what is no offer: it is of another version.",
		"Install remora-logger and remora-node of the same version.")
	LoggerNotReplaced = define(5207, fail, "failed to start a process that captures a container whose logger has died, retrying",
		"REMORA_LOGGER is missing or can't be run.",
		"Install remora-logger where REMORA_LOGGER says.")
	LoggerReplaced = define(5208, warn, "a container's logger has died; another process captures it",
		"The logger was killed, for want of memory for instance.",
		"Nothing has to be done. Find out who kills loggers if it happens again.")
	LoggerNotSynced = define(5209, warn, "fsync failed; a crash of the machine may lose what was written last",
		"The disk returns errors, or does not support it.",
		"Look into the kernel's log for the disk's errors.")
	LoggerDiscards = define(5210, fail, "failed to open the spool, discarding input until it can be opened",
		"REMORA_CONTAINERD_SPOOL can't be written: the disk is full, read-only or broken.",
		"Make room, or mend the disk or its rights.")
	LoggerGapNotStored = define(5211, warn, "failed to persist a gap",
		"The disk is full or broken.",
		"Make room, or mend the disk.")
	LoggerSpoolNotClosed = define(5212, warn, "the spool of logging binaries did not close cleanly",
		"The disk is full or broken.",
		"Make room, or mend the disk.")
	LoggerSpoolUnusable = define(5213, fail, "the spool of logging binaries can't be used, retrying",
		"REMORA_CONTAINERD_SPOOL belongs to another user, can be written by others, or can't be read.",
		"Give it to root with mode 0700.")
)

// Containers and runtimes.
var (
	ContainersUnlisted = define(6001, warn, "containers can't be listed, retrying; those that are known are collected",
		"The runtime or the API server does not answer, or refuses.",
		"Look at the error: the socket's mount, its rights, the service account's role.")
	ContainersUnknown = define(6002, warn, "containers of the last run are not known",
		"The file in the state directory is damaged or can't be read.",
		"Nothing has to be done; logs of containers that ended meanwhile are not collected.")
	ContainersNotRemembered = define(6003, warn, "containers can't be remembered across a restart",
		"The state directory can't be written.",
		"Make room, or mend the disk.")
	MountsHidden = define(6004, warn, "volumes that are mounted from now on will not be seen: add mountPropagation: HostToContainer to the mount of the host's root",
		"The agent's mount of the host's root does not follow new mounts.",
		"Add `mountPropagation: HostToContainer` as deploy/node does.")
	RuntimeMissing = define(6005, fail, "no container runtime was found",
		"None of the sockets exists or answers.",
		"Mount the runtime's socket, or the host's root at /host; REMORA_RUNTIME chooses.")
	RuntimeFailed = define(6006, fail, "a container runtime does not answer",
		"The runtime is stopped, or its socket is not mounted or may not be used.",
		"Start the runtime, or correct the mount and its rights.")
	ContainerTooLarge = define(6007, fail, "a container is not collected: what the runtime tells of it exceeds 16 MiB",
		"Its labels or environment are very large.",
		"Start it with smaller labels.")
)

// Records that kill the process.
var (
	SuspectNotWatched = define(7001, warn, "a record that kills the process while it is parsed will not be found",
		"The file that notes the record at work can't be written or mapped.",
		"Put the state directory on ext4, XFS or tmpfs.")
	DeadlyNotKept = define(7002, fail, "a record that killed the process can't be kept, only counted",
		"The file set-aside.jsonl in the state directory can't be written.",
		"Make room, or mend the disk.")
	DeadlySetAside = define(7003, fail, "set aside a record: the process died while it was parsed or filtered",
		"The record kills the process each time. It is kept aside, and the stream continues.",
		"Report it with the record, if it may be shown, and the declaration.")
	SuspectsForgotten = define(7004, warn, "suspects can't be read; they are forgotten",
		"The file is damaged.",
		"Nothing has to be done.")
	SuspectsNotStored = define(7005, fail, "suspects can't be stored",
		"The state directory can't be written.",
		"Make room, or mend the disk.")
	SuspectFound = define(7006, warn, "the process died while this record was parsed or filtered",
		"The process was killed, or a format or filter failed, at this record.",
		"Nothing has to be done; it is set aside if it happens again.")
)
