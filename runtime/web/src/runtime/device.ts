/** Owns how this device introduces itself in what is posted back. */

import { readCapabilities, type Capabilities } from "./capabilities.js";

/** This device, as results name it. */
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

/** This device as results name it. */
export async function describeDevice(device?: GPUDevice): Promise<DeviceReport> {
  return deviceReport(navigator.userAgent, await readCapabilities(device));
}

/** The report of a browser that calls itself `userAgent` and offers `capabilities`. */
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
  [/Android [\d.]+; ([^;)]+)/, (found: RegExpMatchArray) => (found[1] ?? "").replace(/ Build\/.*/, "").trim()],
  [/Android/, () => "Android device"],
  [/Macintosh/, () => "Mac"],
  [/Windows/, () => "Windows computer"],
  [/CrOS/, () => "Chromebook"],
  [/Linux/, () => "Linux computer"],
] as const;

/** A name for people, told from the browser's; Android names the model where the browser does not hide it. */
export function deviceName(userAgent: string): string {
  for (const [pattern, name] of SYSTEMS) {
    const found = userAgent.match(pattern);
    if (found === null) continue;
    const told = name(found);
    return told === "K" || told === "" ? "Android device" : told;
  }
  return "unknown device";
}
