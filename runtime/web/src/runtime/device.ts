/** Owns `DeviceReport`: the description of this device in posted results. */

import { readCapabilities, type Capabilities } from "./capabilities.js";

/** A description of this device. */
export interface DeviceReport {
  readonly name: string;
  readonly user_agent: string;
  readonly adapter: string;
  readonly software_adapter: boolean;
  readonly cores: number;
  readonly memory_gigabytes: number | null;
  readonly shader_f16: boolean;
  readonly max_buffer_bytes: number;
  readonly max_binding_bytes: number;
}

/** Describe this device, with what `device` was created with where it is given. */
export async function describeDevice(device?: GPUDevice): Promise<DeviceReport> {
  return deviceReport(navigator.userAgent, await readCapabilities(device));
}

/** Return the report of a browser with this `userAgent` and these `capabilities`. */
export function deviceReport(userAgent: string, capabilities: Capabilities): DeviceReport {
  return {
    name: deviceName(userAgent),
    user_agent: userAgent,
    adapter: capabilities.adapter,
    software_adapter: capabilities.softwareAdapter,
    cores: capabilities.cores,
    memory_gigabytes: capabilities.memoryGigabytes,
    shader_f16: capabilities.shaderF16,
    max_buffer_bytes: capabilities.maxBufferBytes,
    max_binding_bytes: capabilities.maxBindingBytes,
  };
}

const SYSTEMS = [
  [/iPhone/, () => "iPhone"],
  [/iPad/, () => "iPad"],
  [/Android [\d.]+; ([^;)]+)/, (match: RegExpMatchArray) => (match[1] ?? "").replace(/ Build\/.*/, "").trim()],
  [/Android/, () => "Android device"],
  [/Macintosh/, () => "Mac"],
  [/Windows/, () => "Windows computer"],
  [/CrOS/, () => "Chromebook"],
  [/Linux/, () => "Linux computer"],
] as const;

/** Derive a name for people from the user agent; on Android the model, where the browser does not hide it as K. */
export function deviceName(userAgent: string): string {
  for (const [pattern, name] of SYSTEMS) {
    const match = userAgent.match(pattern);
    if (match === null) continue;
    const device = name(match);
    return device === "K" || device === "" ? "Android device" : device;
  }
  return "unknown device";
}
