# A workstation with two NVIDIA GPUs: the first drives the display, and compute has both.
{
  dubnium = {
    profiles.workstation.enable = true;
    operators = [ "alice" ];
    user.name = "alice";

    hardware = {
      plannedGpuCount = 2;
      presentGpus = [
        0
        1
      ];
      displayGpu = 0;
      desktopAiGpus = [ 1 ];
      computeGpus = [
        0
        1
      ];
    };

    # The environment below /var/lib/vllm/venv and the model are put there by hand.
    vllm = {
      enable = true;
      model = "/var/lib/dubnium/models/qwen2.5-coder-14b-instruct";
      extraArgs = [
        "--tensor-parallel-size"
        "2"
      ];
      environmentFiles = [ "-/run/secrets/vllm.env" ];
      exposeOnTailscale = true;
    };

    memory.enable = true;
    k3s.enable = true;
    slices.platform.memoryHigh = "16GiB";
  };

  services.greetd.enable = true;
}
