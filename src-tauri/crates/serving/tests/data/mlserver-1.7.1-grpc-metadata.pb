
bcsklearn"
predictFP64ÿÿÿÿÿÿÿÿÿ*
predictINT64
ÿÿÿÿÿÿÿÿÿ