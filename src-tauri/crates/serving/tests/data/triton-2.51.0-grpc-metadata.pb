
tumours1python"
rowsFP64ÿÿÿÿÿÿÿÿÿ*
predictINT64
ÿÿÿÿÿÿÿÿÿ