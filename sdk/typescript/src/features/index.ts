/** All features. `capabilities` announces what stands here, and nothing else. */

import type { Feature } from "../routing.js";
import type { Job } from "../upkeep.js";
import { artifacts, oldArtifacts } from "./artifacts.js";
import { audit, started } from "./audit.js";
import { budgets } from "./budgets.js";
import { decisions } from "./decisions.js";
import { deliveryOptions, digests } from "./delivery.js";
import { oldDeltas, runStream } from "./deltas.js";
import { dispatch } from "./dispatch.js";
import { documentLists, documents } from "./documents.js";
import { erasure, followErasures, oldErasures } from "./erasure.js";
import { events, oldEvents } from "./events.js";
import { files, goneFiles } from "./files.js";
import { heartbeat } from "./heartbeat.js";
import { oldKeys } from "./keys.js";
import { leases } from "./leases.js";
import { messageLists, messages } from "./messages.js";
import { memories, oldMemories } from "./memories.js";
import { feedback } from "./feedback.js";
import { runLists } from "./run-lists.js";
import { notifications } from "./notifications.js";
import { orphans } from "./orphans.js";
import { profile } from "./profile.js";
import { rules } from "./rules.js";
import { runs } from "./runs.js";
import { oneTask, tasks } from "./tasks.js";
import { tools } from "./tools.js";
import { expiry, retention } from "./retention.js";
import { dueSlots, movedSlots } from "./schedule-slots.js";
import { schedules } from "./schedules.js";
import { questionEnds, toolRequests } from "./tool-requests.js";

/** What every backend has. */
export const required: readonly Feature[] = [tasks, messages, documents];

/** What a backend may have. */
export const features: readonly Feature[] = [
  oneTask,
  messageLists,
  documentLists,
  files,
  notifications,
  dispatch,
  deliveryOptions,
  heartbeat,
  leases,
  runs,
  runStream,
  artifacts,
  orphans,
  toolRequests,
  decisions,
  rules,
  events,
  budgets,
  profile,
  tools,
  memories,
  runLists,
  feedback,
  schedules,
  erasure,
  retention,
  audit,
];

/** What is done at times. */
export const jobs: readonly Job[] = [oldKeys, oldEvents, oldDeltas, oldArtifacts, questionEnds, digests, goneFiles, oldMemories, dueSlots, movedSlots, followErasures, oldErasures, expiry, started];
