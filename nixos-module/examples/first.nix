{
  dubnium.enable = true;
  dubnium.operators = [ "alice" ];
  dubnium.hardware = { presentGpus = [ 0 ]; displayGpu = 0; computeGpus = [ 0 ]; };
}
